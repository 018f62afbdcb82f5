"""Lanes on their own: the worked example, who is served first, and a slow twin that steps through every cycle."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.array_independent import walk_blocks_independently
from dsasim.kernels.key_blocks import tile_bounds

UNTIMED = settings(deadline=None, max_examples=150)

Groups = list[list[list[int]]]
"""Per group the steps, per step the keys loaded."""


def walk(groups: Groups, groups_per_tile: int, lanes: int, banks: int, vector_cycles: int, read_cycles: int) -> tuple:
    """The kernel on nested lists; per tile (cycles, reads, lane busy, lane conflict)."""
    steps = [step for group in groups for step in group]
    step_ptr = np.array([0, *np.cumsum([len(group) for group in groups])], np.int64)
    load_ptr = np.array([0, *np.cumsum([len(step) for step in steps])], np.int64)
    load_key = np.array([key for step in steps for key in step], np.int32)
    bounds = tile_bounds(step_ptr, groups_per_tile)
    found = walk_blocks_independently(bounds, step_ptr, load_ptr, load_key, lanes, banks, vector_cycles, read_cycles)
    return tuple(array.tolist() for array in found)


class Lane:
    """A lane at one moment: the step it is in, with `multiplying` cycles to go and `missing` keys not yet read."""

    def __init__(self, steps: list[list[int]]) -> None:
        self.steps = deque(steps)
        self.in_step = False
        self.multiplying = self.missing = self.busy = self.conflict = 0


def stepped(tile: Groups, lanes: int, banks: int, vector_cycles: int, read_cycles: int) -> tuple:
    """One loop over cycles: lanes start steps, every bank works at the read at its front, every lane multiplies."""
    array = [Lane([step for group in tile[lane::lanes] for step in group]) for lane in range(lanes)]
    reading: list[deque[list]] = [deque() for _ in range(banks)]  # [lane, cycles to go]
    cycle = reads = 0
    while any(lane.steps or lane.in_step for lane in array):
        for lane in array:
            if lane.steps and not lane.in_step:
                keys = lane.steps.popleft()
                lane.in_step, lane.multiplying, lane.missing = True, vector_cycles, len(keys)
                reads += len(keys)
                for key in keys:
                    reading[key % banks].append([lane, read_cycles])
        for bank in filter(None, reading):
            bank[0][1] -= 1
            if bank[0][1] == 0:
                bank.popleft()[0].missing -= 1
        for lane in array:
            if lane.in_step:
                lane.busy += lane.multiplying > 0
                lane.conflict += lane.multiplying == 0
                lane.multiplying = max(0, lane.multiplying - 1)
                lane.in_step = lane.multiplying > 0 or lane.missing > 0
        cycle += 1
    return max(1, cycle), reads, [lane.busy for lane in array], [lane.conflict for lane in array]


def test_worked_example() -> None:
    assert walk([[[0], [1]], [[2], [3]]], 2, 2, 2, 2, 2) == ([6], [4], [[4, 4]], [[0, 2]])


def test_the_lower_lane_is_served_first_and_the_later_step_last() -> None:
    """One bank, 3 cycles a read: lane 0 until 3, lane 1 until 6, then lane 0's second step, asked for at 3."""
    assert walk([[[0], [1]], [[2]]], 2, 2, 1, 1, 3) == ([9], [3], [[2, 1]], [[7, 5]])


def test_a_key_wanted_by_two_lanes_is_read_twice() -> None:
    assert walk([[[6]], [[6]]], 2, 2, 2, 1, 1) == ([2], [2], [[1, 1]], [[0, 1]])


@pytest.mark.parametrize(("vector_cycles", "cycles"), [(4, 4), (3, 4)])
def test_reads_behind_the_multiplication_are_no_conflict(vector_cycles: int, cycles: int) -> None:
    """Two reads of a bank at 2 cycles each hide behind 4 cycles of multiplication, not behind 3."""
    conflict = cycles - vector_cycles
    assert walk([[[0, 2]]], 1, 1, 2, vector_cycles, 2) == ([cycles], [2], [[vector_cycles]], [[conflict]])


def test_banks_are_free_at_the_start_of_each_job() -> None:
    """The last reads of a job end in it: the next job's first step is served at once."""
    assert walk([[[0], [0]], [[0]]], 1, 1, 1, 1, 2)[0] == [4, 2]


def test_a_tile_that_keeps_nothing_takes_one_cycle_of_nobody() -> None:
    assert walk([[], [], [[0]]], 2, 2, 2, 3, 1) == ([1, 3], [0, 1], [[0, 0], [3, 0]], [[0, 0], [0, 0]])


@UNTIMED
@given(
    groups=st.lists(
        st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=5, unique=True), max_size=4), min_size=1, max_size=9
    ),
    groups_per_tile=st.integers(1, 9),
    lanes=st.integers(1, 4),
    banks=st.integers(1, 6),
    vector_cycles=st.integers(1, 5),
    read_cycles=st.integers(1, 3),
)
def test_walks_equal_their_stepped_twin(
    groups: Groups, groups_per_tile: int, lanes: int, banks: int, vector_cycles: int, read_cycles: int
) -> None:
    tiles = [groups[first : first + groups_per_tile] for first in range(0, len(groups), groups_per_tile)]
    expected = [stepped(tile, lanes, banks, vector_cycles, read_cycles) for tile in tiles]
    found = walk(groups, groups_per_tile, lanes, banks, vector_cycles, read_cycles)
    assert list(zip(*found, strict=True)) == expected
