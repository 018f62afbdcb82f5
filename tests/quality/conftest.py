"""Small layers to measure masks on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import LayerTrace
from dsasim.trace.store import trace_in_memory


@pytest.fixture
def make_layer() -> Callable[..., LayerTrace]:
    """Random layers with sharp attention; further fields of LayerArrays by name."""

    def make(
        L_q: int = 20, L_k: int = 20, heads: int = 2, kv_heads: int = 1, number: int = 7, **fields: Any
    ) -> LayerTrace:
        rng = np.random.default_rng(number - 7)
        arrays = LayerArrays(
            number=number,
            q=3 * rng.normal(size=(heads, L_q, 8)),
            k=rng.normal(size=(kv_heads, L_k, 8)),
            v=rng.normal(size=(kv_heads, L_k, 8)),
            x_q=rng.normal(size=(L_q, 6)),
            x_kv=None if L_q == L_k else rng.normal(size=(L_k, 6)),
            **({"causal": True, "scale": 8**-0.5} | fields),
        )
        return trace_in_memory("small", [arrays], dtype="float32").layer(number)

    return make
