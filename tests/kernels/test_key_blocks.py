"""Cutting tiles into blocks: the worked example, edges at n and n + 1, and a slow twin that recurses over lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.key_blocks import cut_tiles, tile_bounds

UNTIMED = settings(deadline=None, max_examples=150)

Groups = list[list[list[int]]]
"""Per group the steps, per step the keys loaded."""
Block = tuple[int, int, int, int, list[int]]
"""First group, end group, first step, end step, union of keys."""


def cut(groups: Groups, groups_per_tile: int, capacity: int) -> list[Block]:
    """The kernel on nested lists."""
    steps = [step for group in groups for step in group]
    step_ptr = np.array([0, *np.cumsum([len(group) for group in groups])], np.int64)
    load_ptr = np.array([0, *np.cumsum([len(step) for step in steps])], np.int64)
    load_key = np.array([key for step in steps for key in step], np.int32)
    bounds, union_ptr, union_keys = cut_tiles(step_ptr, load_ptr, load_key, groups_per_tile, capacity)
    assert union_ptr[0] == 0 and union_ptr[-1] == len(union_keys)
    return [(*map(int, row), union_keys[union_ptr[at] : union_ptr[at + 1]].tolist()) for at, row in enumerate(bounds)]


def union(steps: list[list[int]]) -> list[int]:
    return sorted({key for step in steps for key in step})


def halved(groups: Groups, first: int, end: int, capacity: int) -> list[Block]:
    """Blocks of groups first .. end - 1 by the rule, recursively."""
    before = sum(len(group) for group in groups[:first])
    steps = [step for group in groups[first:end] for step in group]
    if len(union(steps)) <= capacity:
        return [(first, end, before, before + len(steps), union(steps))]
    if end - first > 1:
        middle = first + -(-(end - first) // 2)
        return halved(groups, first, middle, capacity) + halved(groups, middle, end, capacity)
    blocks: list[Block] = []
    begin = 0
    while begin < len(steps):
        stop = max(at for at in range(begin, len(steps) + 1) if len(union(steps[begin:at])) <= capacity)
        blocks.append((first, end, before + begin, before + stop, union(steps[begin:stop])))
        begin = stop
    return blocks


def twin(groups: Groups, groups_per_tile: int, capacity: int) -> list[Block]:
    blocks = []
    for first in range(0, len(groups), groups_per_tile):
        blocks += halved(groups, first, min(first + groups_per_tile, len(groups)), capacity)
    return blocks


def test_worked_example() -> None:
    groups = [[[0, 1], [2], [1, 3]], [[2], [3]]]
    assert cut(groups, 2, 3) == [(0, 1, 0, 2, [0, 1, 2]), (0, 1, 2, 3, [1, 3]), (1, 2, 3, 5, [2, 3])]


def test_a_tile_that_fits_to_the_vector_stays_whole_and_one_vector_less_halves_it() -> None:
    """Three groups of one key each: 3 vectors hold them, 2 hold the first half of two groups."""
    groups = [[[4]], [[0]], [[7]]]
    assert cut(groups, 3, 3) == [(0, 3, 0, 3, [0, 4, 7])]
    assert cut(groups, 3, 2) == [(0, 2, 0, 2, [0, 4]), (2, 3, 2, 3, [7])]


def test_keys_wanted_again_take_no_room() -> None:
    assert cut([[[0], [1], [0], [1]]], 1, 2) == [(0, 1, 0, 4, [0, 1])]


def test_a_tile_that_keeps_nothing_is_one_empty_block() -> None:
    assert cut([[], [], [[5]]], 2, 1) == [(0, 2, 0, 0, []), (2, 3, 0, 1, [5])]


def test_a_step_wider_than_the_cache_is_refused() -> None:
    assert len(cut([[[0, 1]]], 1, 2)) == 1
    with pytest.raises(ValueError, match="more vectors than the cache"):
        cut([[[0, 1]]], 1, 1)


def test_tiles_are_runs_of_groups_and_the_last_may_be_short() -> None:
    assert tile_bounds(np.array([0, 2, 2, 5]), 2).tolist() == [[0, 2, 0, 2], [2, 3, 2, 5]]


@UNTIMED
@given(
    groups=st.lists(
        st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3, unique=True), max_size=6), min_size=1, max_size=12
    ),
    groups_per_tile=st.integers(1, 12),
    capacity=st.integers(3, 13),
)
def test_blocks_equal_their_twin(groups: Groups, groups_per_tile: int, capacity: int) -> None:
    assert cut(groups, groups_per_tile, capacity) == twin(groups, groups_per_tile, capacity)
