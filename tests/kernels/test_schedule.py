"""The scheduler's time: the worked example, and a twin that follows the two queues of each scheduler."""

from math import ceil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.schedule import schedule_tiles

UNTIMED = settings(deadline=None, max_examples=80)


def schedule(groups: list[tuple[int, int]], groups_per_tile: int, schedulers: int, keys_per_cycle: int) -> list[int]:
    """The kernel on (span, loads) of each group."""
    spans, loads = np.array(groups, np.int64).reshape(-1, 2).T
    found: list[int] = schedule_tiles(spans, loads, groups_per_tile, schedulers, keys_per_cycle).tolist()
    return found


def one_scheduler(groups: list[tuple[int, int]], keys_per_cycle: int) -> int:
    """When the last load is issued: group g is classified into queues that group g - 2 has left."""
    classified, issued = [0], [0, 0]
    for span, loads in groups:
        classified.append(max(classified[-1], issued[-2]) + ceil(span / keys_per_cycle))
        issued.append(max(classified[-1], issued[-1]) + loads)
    return issued[-1]


def test_worked_example() -> None:
    assert schedule([(8, 5), (8, 1)], 2, 1, 4) == [8]


def test_groups_go_round_the_schedulers_and_the_slowest_counts() -> None:
    """Scheduler 0: groups 0 and 2, 1 + max(4, 1) + 2 = 7; scheduler 1: group 1, 1 + 5 = 6."""
    assert schedule([(4, 4), (4, 5), (4, 2)], 3, 2, 4) == [7]


def test_a_tile_whose_rows_may_keep_nothing_takes_one_cycle() -> None:
    assert schedule([(0, 0), (4, 1)], 1, 1, 4) == [1, 2]


def test_one_key_position_more_than_a_cycle_classifies_takes_another_cycle() -> None:
    assert schedule([(16, 1)], 1, 1, 16) == [2]
    assert schedule([(17, 1)], 1, 1, 16) == [3]


@UNTIMED
@given(
    groups=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=12),
    groups_per_tile=st.integers(1, 6),
    schedulers=st.integers(1, 4),
    keys_per_cycle=st.integers(1, 9),
)
def test_times_equal_their_twin(
    groups: list[tuple[int, int]], groups_per_tile: int, schedulers: int, keys_per_cycle: int
) -> None:
    tiles = [groups[first : first + groups_per_tile] for first in range(0, len(groups), groups_per_tile)]
    twin = [
        max(1, *(one_scheduler(tile[scheduler::schedulers], keys_per_cycle) for scheduler in range(schedulers)))
        for tile in tiles
    ]
    assert schedule(groups, groups_per_tile, schedulers, keys_per_cycle) == twin
