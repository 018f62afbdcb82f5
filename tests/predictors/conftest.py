"""A small layer with a fitted prediction path, in memory."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import Positions
from dsasim.trace.store import trace_in_memory
from dsasim.train.closed_form import FitSequence, fit_layer


@pytest.fixture
def make_arch() -> Callable[..., ArchConfig]:
    """The default design with overrides, as in --set."""
    return lambda *overrides: load_arch("dsa-decoupled", overrides)


@pytest.fixture
def make_arrays() -> Callable[..., LayerArrays]:
    """A layer whose Q and K are linear in X: what a low-rank predictor can follow. Fields of LayerArrays by name."""

    def make(
        heads: int = 4, kv_heads: int = 2, L: int = 24, d_head: int = 4, d_model: int = 32, seed: int = 0, **fields: Any
    ) -> LayerArrays:
        weights, rng = np.random.default_rng(1), np.random.default_rng(seed)
        w_q, w_k = weights.normal(size=(heads, d_model, d_head)), weights.normal(size=(kv_heads, d_model, d_head))
        x = rng.normal(size=(L, d_model)).astype(np.float32)
        return LayerArrays(
            number=5,
            q=(x @ w_q / d_head).astype(np.float32),
            k=(x @ w_k / d_head).astype(np.float32),
            v=rng.normal(size=(kv_heads, L, d_head)).astype(np.float32),
            x_q=x,
            **({"causal": True, "scale": d_head**-0.5} | fields),
        )

    return make


@pytest.fixture
def make_layer(make_arrays: Callable[..., LayerArrays]) -> Callable[..., LayerTrace]:
    """A trace's layer with weights for sigma 0.5 (rank 4), fitted on other inputs of the same shape."""

    def make(rotary_base: float | None = None, **fields: Any) -> LayerTrace:
        layer = make_arrays(**fields)
        others = [make_arrays(**(fields | {"seed": seed})) for seed in (7, 8, 9, 10)]
        length = layer.q.shape[1]
        fitted = fit_layer(
            [FitSequence(other.x_q, other.q, other.k) for other in others],
            Positions(length, length, causal=True, packed=None),
            Decimal("0.5"),
            fitted_on="four random inputs",
            rotary_base=rotary_base,
        )
        arrays = make_arrays(**(fields | {"predictors": (fitted,)}))
        return trace_in_memory("small", [arrays], dtype="float32").layer(5)

    return make
