"""Tiles, blocks and steps: the worked example, and that steps cover the positions of any layer, each once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsasim.designs.dense.work import Group, cut, query_tiles, steps


def group(heads: int, spans: list[int], d_head: int = 4) -> Group:
    return Group(heads, np.array(spans), np.array(spans), d_head)


def test_the_docstring_s_example() -> None:
    blocks, longest, shortest = cut(group(2, [1, 2, 3, 4]), 2, 3)
    assert [column.tolist() for column in blocks] == [[0, 0, 1, 1], [3, 1, 3, 1], [2, 2, 4, 4]]
    assert (longest.tolist(), shortest.tolist()) == ([2, 4], [1, 3])
    tiles = list(query_tiles(group(2, [1, 2, 3, 4]), 2, 3))
    assert [(tile.first, tile.count, tile.span, tile.last) for tile in tiles] == [(0, 2, 2, False), (2, 2, 4, True)]
    found = [(step.tile.number, step.first, step.keys, step.fetched) for step in steps(tiles, 3, resident=False)]
    assert found == [(0, 0, 2, 2), (1, 0, 3, 3), (1, 3, 1, 1)]


def test_resident_keys_are_fetched_whole_and_given_up_by_the_last_who_wants_them() -> None:
    tiles = list(query_tiles(group(1, [1, 2, 3, 4, 2]), 1, 1))
    found = [(step.tile.number, step.first, step.fetched, step.gives_up) for step in steps(tiles, 3, resident=True)]
    assert found == [(0, 0, 3, False), (1, 0, 0, False), (2, 0, 0, False), (3, 0, 0, False), (3, 3, 1, True),
                     (4, 0, 0, True)]  # fmt: skip


def test_rows_that_may_attend_to_nothing_look_at_one_key() -> None:
    (tile,) = query_tiles(group(2, [0, 0]), 2, 4)
    (step,) = steps([tile], 8, resident=False)
    assert (tile.span, step.keys, step.rows, step.last) == (1, 1, 4, True)
    assert step.row_widths.tolist() == [0, 0]


LAYERS = st.tuples(
    st.integers(1, 5),  # heads
    st.lists(st.integers(0, 40), min_size=1, max_size=20),  # spans
    st.integers(1, 12),  # query rows
    st.integers(1, 7),  # rows of a block
    st.integers(1, 15),  # keys
    st.booleans(),
)


@given(LAYERS)
def test_every_position_is_met_once(layer: tuple[int, list[int], int, int, int, bool]) -> None:
    heads, spans, query_rows, block_rows, keys, resident = layer
    met = np.zeros((len(spans) * heads, 41), np.int64)
    tiles = list(query_tiles(group(heads, spans), query_rows, block_rows))
    on_chip: set[int] = set()
    for step in steps(tiles, keys, resident=resident):
        wanted = set(range(step.first, step.first + step.keys))
        on_chip |= set(range(step.first, step.first + step.fetched))
        assert wanted <= on_chip
        assert not (on_chip - wanted and not resident)
        row = step.tile.first * heads
        for rows, width in zip(step.tile.blocks.rows, step.widths, strict=True):
            met[row : row + rows, step.first : step.first + width] += 1
            row += rows
        if step.gives_up:
            on_chip -= set(range(step.first, step.first + keys))
    assert not on_chip
    assert met.max() == 1
    own = np.repeat(spans, heads)[:, None] > np.arange(41)
    assert (met[own] == 1).all()
    assert sum(int(tile.blocks.rows.sum()) for tile in tiles) == len(met)


@given(LAYERS)
def test_no_block_goes_beyond_its_longest_row(layer: tuple[int, list[int], int, int, int, bool]) -> None:
    heads, spans, query_rows, block_rows, _, _ = layer
    blocks, longest, shortest = cut(group(heads, spans), query_rows, block_rows)
    assert blocks.rows.max() <= block_rows
    tiles = [spans[first : first + query_rows] for first in range(0, len(spans), query_rows)]
    assert longest.tolist() == [max([1, *tile]) for tile in tiles]
    assert shortest.tolist() == [min(tile) for tile in tiles]
    ends = np.cumsum(blocks.rows)
    rows = np.repeat(spans, heads)
    for span, first, end in zip(blocks.spans, ends - blocks.rows, ends, strict=True):
        assert span == max(1, rows[first:end].max())


@pytest.mark.parametrize("splits", [1, 2])
@pytest.mark.parametrize("causal", [False, True])
def test_the_steps_done_in_numpy_are_attention(splits: int, causal: bool) -> None:
    """Running maximum and sum, rescaled sums, split keys that share a maximum and are added at the end."""
    rng = np.random.default_rng(0)
    heads, length, d_head = 3, 20, 5
    q, k, v = (rng.normal(size=size) for size in ((length, heads, d_head), (length, d_head), (length, d_head)))
    spans = np.arange(1, length + 1) if causal else np.full(length, length)
    scores = np.where(np.arange(length) < np.repeat(spans, heads)[:, None], q.reshape(-1, d_head) @ k.T, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    wanted = weights / weights.sum(axis=1, keepdims=True) @ v
    largest, total = np.full(len(scores), -np.inf), np.zeros(len(scores))
    sums = np.zeros((splits, len(scores), d_head))
    tiles = list(query_tiles(Group(heads, spans, spans, d_head), 6, 4))
    for step in steps(tiles, 7, resident=True):
        rows = slice(step.tile.first * heads, (step.tile.first + step.tile.count) * heads)
        keys = slice(step.first, step.first + step.keys)
        maximum = np.maximum(largest[rows], scores[rows, keys].max(axis=1))
        factor = np.exp(largest[rows] - maximum)
        tile = np.exp(scores[rows, keys] - maximum[:, None])
        total[rows] = total[rows] * factor + tile.sum(axis=1)
        sums[:, rows] *= factor[:, None]
        for split, part in enumerate(np.array_split(np.arange(step.keys), splits)):
            sums[split, rows] += tile[:, part] @ v[keys][part]
        largest[rows] = maximum
    assert np.allclose(sums.sum(axis=0) / total[:, None], wanted)
