"""Exact scores: the same bits however the rows are cut, and refused where float32 cannot hold them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dsasim.errors import TraceError
from dsasim.trace import positions
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import LayerTrace
from dsasim.trace.info import natural_density
from dsasim.trace.scores import exact_scorer
from dsasim.trace.store import trace_in_memory


def scores_of(layer: LayerTrace) -> np.ndarray:
    """All scores of head 1, block by block; those no row of a block may see stay 0."""
    score, scores = exact_scorer(layer, 1), np.zeros((layer.L_q, layer.L_k), np.float32)
    for block in layer.row_blocks():
        scores[block.rows, : block.num_keys] = score(block)
    return scores


@pytest.mark.parametrize("shape", [(30, 30), (7, 1100), (30, 12)])
def test_blocks_of_rows_give_the_whole(
    shape: tuple[int, int], make_layer: Callable[..., LayerArrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    L_q, L_k = shape
    bias = np.random.default_rng(4).normal(size=(4, L_q, L_k)).astype(np.float32)
    extra: dict[str, Any] = {} if L_q == L_k else {"x_kv": np.ones((L_k, 12), np.float32)}
    arrays = make_layer(L_q=L_q, L_k=L_k, causal=True, bias=bias, **extra)
    layer = trace_in_memory("small", [arrays], dtype="float32").layer(3)
    whole = scores_of(layer)
    twin = layer.q(1).astype(float) @ layer.k(0).astype(float).T * layer.scale + bias[1]
    allowed = layer.allowed()
    assert whole[allowed] == pytest.approx(twin[allowed], rel=1e-5, abs=1e-6)
    for rows in (1, 4):
        monkeypatch.setattr(positions, "BLOCK_POSITIONS", rows * L_k)
        assert np.array_equal(scores_of(layer)[allowed], whole[allowed])


def test_overflowing_scores_are_refused() -> None:
    huge = np.full((1, 2, 4), 1e20, np.float32)
    layer = LayerArrays(3, huge, huge, huge, huge[0], causal=False, scale=1.0)
    trace = trace_in_memory("huge", [layer], kind="synthetic", dtype="float32").layer(3)
    with pytest.raises(TraceError, match=r": layer 3 head 0: scores .* overflow float32"):
        exact_scorer(trace, 0)(next(trace.row_blocks()))
    with pytest.raises(TraceError, match="overflow float32"):  # and no warning of NumPy
        natural_density(trace)
