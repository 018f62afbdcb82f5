"""The scheduler's time: the worked example, queues at their last entry, and a twin that follows double queues."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.plan import plan_reordered
from dsasim.kernels.schedule import PIPELINE_CYCLES, schedule_tiles, spilled_keys

UNTIMED = settings(deadline=None, max_examples=80)

Groups = list[tuple[int, int, int]]
"""(span, loads, spills) of each group."""


def schedule(groups: Groups, groups_per_tile: int, schedulers: int, keys_per_cycle: int) -> list[int]:
    """The kernel without the pipeline's latency."""
    spans, loads, spills = np.array(groups, np.int64).reshape(-1, 3).T
    cycles = schedule_tiles(spans, loads, spills, groups_per_tile, schedulers, keys_per_cycle)
    return (cycles - PIPELINE_CYCLES).tolist()


def one_scheduler(groups: Groups, keys_per_cycle: int) -> int:
    """When the last load is issued: group g is classified into queues that group g - 2 has left."""
    classified, issued = [0], [0, 0]
    for span, loads, spills in groups:
        if span == 0:
            continue
        classified.append(max(classified[-1], issued[-2]) + ceil(span / keys_per_cycle) + spills)
        issued.append(max(classified[-1], issued[-1]) + loads + spills)
    return issued[-1]


def spills_of(rows: list[list[int]], id_queue_entries: int) -> int:
    """Spilled keys of one group, given the keys each of its rows keeps."""
    indptr = np.array([0, *np.cumsum([len(keys) for keys in rows])], np.int64)
    indices = np.array([key for keys in rows for key in keys], np.int32)
    step_ptr, load_ptr, _, load_rows = plan_reordered(indptr, indices, len(rows))
    (spills,) = spilled_keys(step_ptr, load_ptr, load_rows, id_queue_entries)
    return int(spills)


def test_worked_example() -> None:
    """Keys 0 and 1 for both rows, 2, 4 and 6 for row 0; the other group keeps one key."""
    assert spills_of([[0, 1, 2, 4, 6], [0, 1]], 2) == 1
    assert schedule([(8, 5, 1), (8, 1, 0)], 2, 1, 4) == [12 - 2]
    assert PIPELINE_CYCLES == 2


@pytest.mark.parametrize(("keys", "spills"), [(2, 0), (3, 0), (4, 1), (7, 4)])
def test_a_queue_of_three_takes_three_keys_of_its_set_and_no_fourth(keys: int, spills: int) -> None:
    assert spills_of([list(range(keys)), []], 3) == spills
    assert spills_of([list(range(keys)), list(range(keys))], 3) == spills


def test_keys_of_different_row_sets_wait_in_different_queues() -> None:
    """Three keys for row 0 alone, three for row 1 alone, three for both: each queue is full, none is too small."""
    rows = [[0, 1, 2, 6, 7, 8], [3, 4, 5, 6, 7, 8]]
    assert (spills_of(rows, 3), spills_of(rows, 2)) == (0, 3)


def test_queues_are_empty_for_the_next_group() -> None:
    """Two groups of one row that keep two keys each."""
    step_ptr, load_ptr, _, load_rows = plan_reordered(np.array([0, 2, 4]), np.array([0, 1, 0, 1], np.int32), 1)
    assert spilled_keys(step_ptr, load_ptr, load_rows, 2).tolist() == [0, 0]
    assert spilled_keys(step_ptr, load_ptr, load_rows, 1).tolist() == [1, 1]


def test_a_spilled_key_takes_a_cycle_to_write_and_one_to_read_back() -> None:
    assert schedule([(4, 4, 0)], 1, 1, 4) == [1 + 4]
    assert schedule([(4, 4, 1)], 1, 1, 4) == [2 + 5]


def test_a_spill_hides_behind_the_issue_of_the_group_before() -> None:
    """Group 1 is classified in 1 + 2 cycles while group 0 is issued in 3; in 1 + 3 it is a cycle late."""
    assert schedule([(4, 3, 0), (4, 3, 2)], 2, 1, 4) == [1 + 3 + 5]
    assert schedule([(4, 3, 0), (4, 3, 3)], 2, 1, 4) == [1 + 4 + 6]


def test_groups_go_round_the_schedulers_and_the_slowest_counts() -> None:
    """Scheduler 0: groups 0 and 2, 1 + max(4, 1) + 2 = 7; scheduler 1: group 1, 1 + 5 = 6."""
    assert schedule([(4, 4, 0), (4, 5, 0), (4, 2, 0)], 3, 2, 4) == [7]


def test_a_tile_whose_rows_may_keep_nothing_takes_the_pipeline_alone() -> None:
    assert schedule([(0, 0, 0), (4, 1, 0)], 1, 1, 4) == [0, 2]


def test_one_key_position_more_than_a_cycle_classifies_takes_another_cycle() -> None:
    assert schedule([(16, 1, 0)], 1, 1, 16) == [2]
    assert schedule([(17, 1, 0)], 1, 1, 16) == [3]


def test_a_group_that_may_keep_nothing_is_not_waited_for() -> None:
    """Group 2 is classified while group 0 is issued: 1 + max(4, 2) + 1."""
    assert schedule([(4, 4, 0), (0, 0, 0), (8, 1, 0)], 3, 1, 4) == [6]


@UNTIMED
@given(
    groups=st.lists(
        st.just((0, 0, 0)) | st.tuples(st.integers(1, 40), st.integers(0, 30), st.integers(0, 9)),
        min_size=1,
        max_size=12,
    ),
    groups_per_tile=st.integers(1, 6),
    schedulers=st.integers(1, 4),
    keys_per_cycle=st.integers(1, 9),
)
def test_times_equal_their_twin(groups: Groups, groups_per_tile: int, schedulers: int, keys_per_cycle: int) -> None:
    tiles = [groups[first : first + groups_per_tile] for first in range(0, len(groups), groups_per_tile)]
    twin = [
        max(one_scheduler(tile[scheduler::schedulers], keys_per_cycle) for scheduler in range(schedulers))
        for tile in tiles
    ]
    assert schedule(groups, groups_per_tile, schedulers, keys_per_cycle) == twin
