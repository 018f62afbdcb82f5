"""Small dense machines, and layers of which only the shape counts."""

from collections.abc import Callable

import pytest
from shapes import zeros

from dsasim.config.loader import load_arch
from dsasim.designs.dense.config import DenseConfig
from dsasim.trace.attention import AttentionTrace

SMALL = (
    "array.rows=4",
    "array.columns=4",
    "array.sub_arrays=2",
    "softmax.exp_per_cycle=4",
    "rescaler.sums_per_cycle=4",
    "buffers.q.bytes=512",
    "buffers.k.bytes=512",
    "buffers.v.bytes=512",
    "buffers.score.bytes=512",
    "buffers.output.bytes=2048",
)
"""4 x 4 PEs in at most 2 sub-arrays."""


@pytest.fixture
def make_config() -> Callable[..., DenseConfig]:
    """The shipped machine with overrides, as in --set."""
    return lambda *overrides: load_arch("dense-flash", overrides)


@pytest.fixture
def small_config() -> Callable[..., DenseConfig]:
    """A machine of 4 x 4 PEs with overrides."""
    return lambda *overrides: load_arch("dense-flash", (*SMALL, *overrides))


@pytest.fixture
def make_trace() -> Callable[..., AttentionTrace]:
    """make_trace(heads, kv_heads, L_q, L_k, d_head, causal=…, allowed=…)."""
    return zeros
