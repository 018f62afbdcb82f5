"""The array walking plans: the worked example, bank edges, and a slow twin over sets of keys."""

from collections import Counter
from math import ceil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.array import walk_blocks
from dsasim.kernels.key_blocks import tile_bounds

UNTIMED = settings(deadline=None, max_examples=80)

Groups = list[list[list[int]]]
"""Per group the steps, per step the keys loaded."""


def plan_of(groups: Groups) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """step_ptr, load_ptr and load_key of nested lists."""
    steps = [step for group in groups for step in group]
    step_ptr = np.array([0, *np.cumsum([len(group) for group in groups])], np.int64)
    load_ptr = np.array([0, *np.cumsum([len(step) for step in steps])], np.int64)
    return step_ptr, load_ptr, np.array([key for step in steps for key in step], np.int32)


def walk(groups: Groups, groups_per_tile: int, lanes: int, banks: int, vector_cycles: int, read_cycles: int) -> tuple:
    """The kernel on nested lists; per tile (cycles, reads, lane busy, lane conflict)."""
    plan = plan_of(groups)
    found = walk_blocks(tile_bounds(plan[0], groups_per_tile), *plan, lanes, banks, vector_cycles, read_cycles)
    return tuple(array.tolist() for array in found)


def twin(groups: Groups, groups_per_tile: int, lanes: int, banks: int, vector_cycles: int, read_cycles: int) -> tuple:
    """Lane l does the steps of its groups one after the other; step i of all lanes happens together."""
    cycles, reads, busy, conflict = [], [], [], []
    for first in range(0, len(groups), groups_per_tile):
        tile = groups[first : first + groups_per_tile]
        todo = [[step for group in tile[lane::lanes] for step in group] for lane in range(lanes)]
        tile_cycles, tile_reads, tile_busy, tile_conflict = 0, 0, [0] * lanes, [0] * lanes
        for at in range(max(map(len, todo), default=0)):
            working = [lane for lane in range(lanes) if at < len(todo[lane])]
            wanted = {key for lane in working for key in todo[lane][at]}
            fullest = max(Counter(key % banks for key in wanted).values())
            duration = max(vector_cycles, fullest * read_cycles)
            tile_cycles += duration
            tile_reads += len(wanted)
            for lane in working:
                tile_busy[lane] += vector_cycles
                tile_conflict[lane] += duration - vector_cycles
        cycles.append(max(1, tile_cycles))
        reads.append(tile_reads)
        busy.append(tile_busy)
        conflict.append(tile_conflict)
    return cycles, reads, busy, conflict


def test_worked_example() -> None:
    """Step 0 reads keys 0 and 2 of bank 0: 4 cycles; step 1 reads key 1: 2 cycles, and lane 1 waits."""
    assert walk([[[0], [1]], [[2]]], 2, 2, 2, 2, 2) == ([6], [3], [[4, 2]], [[2, 2]])


def test_keys_of_as_many_banks_do_not_conflict_and_one_bank_less_does() -> None:
    """Keys 0 .. 3 in one step: four banks deliver them at once, three hold keys 0 and 3 together."""
    assert walk([[[0, 1, 2, 3]]], 1, 1, 4, 1, 1) == ([1], [4], [[1]], [[0]])
    assert walk([[[0, 1, 2, 3]]], 1, 1, 3, 1, 1) == ([2], [4], [[1]], [[1]])


def test_a_read_that_fits_behind_the_multiplication_is_no_conflict() -> None:
    """Two reads of a bank at 2 cycles each hide behind 4 cycles of multiplication, not behind 3."""
    assert walk([[[0, 2]]], 1, 1, 2, 4, 2) == ([4], [2], [[4]], [[0]])
    assert walk([[[0, 2]]], 1, 1, 2, 3, 2) == ([4], [2], [[3]], [[1]])


def test_a_key_wanted_by_two_lanes_in_a_step_is_read_once_and_in_two_steps_twice() -> None:
    assert walk([[[6]], [[6]]], 2, 2, 2, 1, 1) == ([1], [1], [[1, 1]], [[0, 0]])
    assert walk([[[6], [5]], [[5], [6]]], 2, 2, 2, 1, 1)[1] == [4]


def test_a_tile_that_keeps_nothing_takes_one_cycle_of_nobody() -> None:
    assert walk([[], [], [[0]]], 2, 2, 2, 3, 1) == ([1, 3], [0, 1], [[0, 0], [3, 0]], [[0, 0], [0, 0]])


@UNTIMED
@given(
    groups=st.lists(
        st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=5, unique=True), max_size=4), min_size=1, max_size=9
    ),
    groups_per_tile=st.integers(1, 5),
    lanes=st.integers(1, 4),
    banks=st.integers(1, 6),
    vector_cycles=st.integers(1, 5),
    read_cycles=st.integers(1, 3),
)
def test_walks_equal_their_twin(
    groups: Groups, groups_per_tile: int, lanes: int, banks: int, vector_cycles: int, read_cycles: int
) -> None:
    design = (groups_per_tile, lanes, banks, vector_cycles, read_cycles)
    assert walk(groups, *design) == twin(groups, *design)


def test_reads_of_each_lane_alone_take_the_ports_time() -> None:
    """One lane, one bank: every key is read alone, so a tile takes its reads x the read time."""
    keys = [[key] for key in range(7)]
    assert walk([keys], 1, 1, 1, 1, 3)[0] == [ceil(7 * 3)]


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Groups, list[Groups], list[list[int]]]:
    """Groups, and jobs over them in order: a job has some groups whole, or some steps of one group; their bounds."""
    steps = st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=4, unique=True), max_size=4)
    groups, jobs, bounds = [], [], []
    for job in draw(st.lists(st.lists(steps, min_size=1, max_size=4), min_size=1, max_size=4)):
        first, before = len(groups), sum(map(len, groups))
        cut = draw(st.integers(1, max(1, len(job[0])))) if len(job) == 1 else 0
        groups += job
        if cut:
            jobs += [[job[0][:cut]], [job[0][cut:]]]
            bounds += [[first, first + 1, before, before + len(job[0][:cut])]]
            bounds += [[first, first + 1, before + len(job[0][:cut]), before + len(job[0])]]
        else:
            jobs += [job]
            bounds += [[first, len(groups), before, before + sum(map(len, job))]]
    return groups, jobs, bounds


@UNTIMED
@given(cut=cuts(), lanes=st.integers(1, 4), banks=st.integers(1, 6), vector=st.integers(1, 5), read=st.integers(1, 3))
def test_a_part_is_walked_like_a_tile_of_its_own(cut: tuple, lanes: int, banks: int, vector: int, read: int) -> None:
    groups, jobs, bounds = cut
    found = walk_blocks(np.array(bounds, np.int64), *plan_of(groups), lanes, banks, vector, read)
    alone = [twin(job, len(job), lanes, banks, vector, read) for job in jobs]
    assert [array.tolist() for array in found] == [[job[field][0] for job in alone] for field in range(4)]
