"""Pooling, spreading, codes and softmax masks: their worked examples."""

import numpy as np
import pytest

from dsasim.config.loader import load_arch
from dsasim.designs.dsa.tiling import smallest_tile
from dsasim.methods.blocks import pooled, spread
from dsasim.methods.operation import Storage
from dsasim.methods.quantise import coded
from dsasim.selectors.softmax import softmax_above
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import LayerTrace
from dsasim.trace.store import trace_in_memory


def test_sums_of_blocks() -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]])
    assert pooled(np.add, values, 2, 2).tolist() == [[12, 9]]
    assert spread(np.array([[12, 9]]), 2, 2, (2, 3)).tolist() == [[12, 12, 9], [12, 12, 9]]


def test_codes_of_the_largest_magnitude() -> None:
    codes, scale = coded(np.array([0.5, -1.0, 0.25]), 4)
    assert (codes.tolist(), scale) == ([4, -7, 2], 1 / 7)
    assert coded(np.zeros(2), 4)[1] == 1.0


def test_scores_of_blocks() -> None:
    assert Storage(score_block=(32, 32)).scores(33, 100) == 8
    assert Storage(query_row_bytes=3, row_bits=(9,)).row_bytes == 5


def test_a_tile_has_whole_groups_of_whole_blocks() -> None:
    assert smallest_tile(load_arch("dsa-decoupled"), 6) == 12


@pytest.fixture
def layer() -> LayerTrace:
    ones = np.ones((1, 4, 2), np.float32)
    arrays = LayerArrays(number=0, q=ones, k=ones, v=ones, x_q=np.ones((4, 2), np.float32), causal=True, scale=1.0)
    return trace_in_memory("ones", [arrays]).layer(0)


def test_weights_above_a_probability(layer: LayerTrace) -> None:
    """Row 2 may attend to three keys of weights 1/8, 2/8 and 5/8; what comes after is not in the sum."""
    scores = np.tile(np.log([1.0, 2.0, 5.0, 100.0]), (4, 1))
    keep = softmax_above(layer, lambda block: scores[block.rows, : block.num_keys], 0.125 + 1e-9).to_dense()
    assert keep.astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(("together", "rows"), [(1, {2}), (3, {3}), (4, {4})])
def test_rows_that_belong_together_are_not_cut_apart(
    layer: LayerTrace, monkeypatch: pytest.MonkeyPatch, together: int, rows: set[int]
) -> None:
    monkeypatch.setattr("dsasim.trace.positions.BLOCK_POSITIONS", 8)
    assert {block.first % together for block in layer.row_blocks(together)} == {0}
    assert {block.num_rows for block in layer.row_blocks(together)} - {4 % together} == rows
