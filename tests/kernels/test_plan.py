"""Plans: the worked example, and slow twins that handle one key at a time."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.plan import Plan, plan_in_order, plan_reordered, subset_order

# the first call may compile the kernel
UNTIMED = settings(deadline=None, max_examples=60)

Step = list[tuple[int, frozenset[int]]]
"""Loads of a step: (key, the rows of the group that it serves)."""


def csr(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Kept keys of each row as indptr and indices."""
    counts = [len(row) for row in rows]
    return np.array([0, *np.cumsum(counts)], np.int64), np.array([key for row in rows for key in row], np.int32)


def steps_of(plan: Plan) -> list[list[Step]]:
    """A plan as groups of steps of loads."""
    step_ptr, load_ptr, load_key, load_rows = plan
    loads = [
        (int(key), frozenset(row for row in range(8) if int(rows) >> row & 1))
        for key, rows in zip(load_key, load_rows, strict=True)
    ]
    steps = [loads[first:last] for first, last in pairwise(load_ptr)]
    assert load_ptr[-1] == len(loads) and step_ptr[-1] == len(steps)
    return [steps[first:last] for first, last in pairwise(step_ptr)]


def groups_of(rows: list[list[int]], group_rows: int) -> list[list[list[int]]]:
    return [rows[first : first + group_rows] for first in range(0, len(rows), group_rows)]


def in_order_twin(group: list[list[int]]) -> list[Step]:
    """Turn t: each row names its t-th key; a key named twice is one load."""
    steps = []
    for turn in range(max(map(len, group))):
        named: dict[int, set[int]] = {}
        for row, keys in enumerate(group):
            if turn < len(keys):
                named.setdefault(keys[turn], set()).add(row)
        steps.append([(key, frozenset(rows)) for key, rows in named.items()])
    return steps


def bitmask(rows: frozenset[int]) -> int:
    return sum(2**row for row in rows)


def reordered_twin(group: list[list[int]]) -> list[Step]:
    """One queue per exact row set; always the fullest set whose rows are all still idle in this step."""
    queues: dict[frozenset[int], list[int]] = {}
    for key in sorted({key for keys in group for key in keys}):
        wanting = frozenset(row for row, keys in enumerate(group) if key in keys)
        queues.setdefault(wanting, []).append(key)
    steps = []
    while any(queues.values()):
        idle = frozenset(row for rows, queue in queues.items() if queue for row in rows)
        step: Step = []
        while fitting := [rows for rows, queue in queues.items() if queue and rows <= idle]:
            best = min(fitting, key=lambda rows: (-len(rows), bitmask(rows)))
            step.append((queues[best].pop(0), best))
            idle -= best
        steps.append(step)
    return steps


@st.composite
def masks(draw: st.DrawFn) -> tuple[list[list[int]], int]:
    """Rows with none, some or all of the keys, and T."""
    num_keys = draw(st.integers(1, 20))
    some = st.sets(st.integers(0, num_keys - 1)).map(sorted)
    row = st.one_of(st.just([]), st.just(list(range(num_keys))), some, some)
    return draw(st.lists(row, min_size=1, max_size=19)), draw(st.integers(1, 8))


def test_worked_example() -> None:
    indptr, indices = csr([[0, 2, 3], [1, 2]])
    first, second, both = frozenset({0}), frozenset({1}), frozenset({0, 1})
    in_order = [[[(0, first), (1, second)], [(2, both)], [(3, first)]]]
    reordered = [[[(2, both)], [(0, first), (1, second)], [(3, first)]]]
    assert steps_of(plan_in_order(indptr, indices, 2)) == in_order
    assert steps_of(plan_reordered(indptr, indices, 2)) == reordered


@UNTIMED
@given(masks())
def test_in_order_plans_equal_their_twin(mask: tuple[list[list[int]], int]) -> None:
    rows, group_rows = mask
    twin = [in_order_twin(group) for group in groups_of(rows, group_rows)]
    assert steps_of(plan_in_order(*csr(rows), group_rows)) == twin


@UNTIMED
@given(masks())
def test_reordered_plans_equal_their_twin(mask: tuple[list[list[int]], int]) -> None:
    rows, group_rows = mask
    twin = [reordered_twin(group) for group in groups_of(rows, group_rows)]
    assert steps_of(plan_reordered(*csr(rows), group_rows)) == twin


@pytest.mark.parametrize("make_plan", [plan_in_order, plan_reordered])
@UNTIMED
@given(mask=masks())
def test_every_kept_position_is_served_once_and_a_row_at_most_once_a_step(
    make_plan: Callable[..., Plan], mask: tuple[list[list[int]], int]
) -> None:
    rows, group_rows = mask
    plan = steps_of(make_plan(*csr(rows), group_rows))
    for group, steps in zip(groups_of(rows, group_rows), plan, strict=True):
        served = sorted((row, key) for step in steps for key, wanting in step for row in wanting)
        assert served == [(row, key) for row, keys in enumerate(group) for key in keys]
        for step in steps:
            busy = [row for _, wanting in step for row in wanting]
            assert busy and len(busy) == len(set(busy))


@UNTIMED
@given(masks())
def test_reordered_loads_are_the_union_of_each_group(mask: tuple[list[list[int]], int]) -> None:
    rows, group_rows = mask
    step_ptr, load_ptr, _, _ = plan_reordered(*csr(rows), group_rows)
    unions = [len({key for keys in group for key in keys}) for group in groups_of(rows, group_rows)]
    assert np.diff(load_ptr[step_ptr]).tolist() == unions


@UNTIMED
@given(masks())
def test_in_order_steps_are_the_longest_row_and_loads_between_union_and_kept(mask: tuple[list[list[int]], int]) -> None:
    rows, group_rows = mask
    step_ptr, _, load_key, _ = plan_in_order(*csr(rows), group_rows)
    groups = groups_of(rows, group_rows)
    assert np.diff(step_ptr).tolist() == [max(map(len, group)) for group in groups]
    union = sum(len({key for keys in group for key in keys}) for group in groups)
    assert union <= len(load_key) <= sum(map(len, rows))


def test_alone_every_row_loads_all_it_keeps_in_key_order() -> None:
    rows = [[1, 4], [], [0, 1, 2, 3, 4]]
    for plan in (plan_in_order, plan_reordered):
        assert steps_of(plan(*csr(rows), 1)) == [[[(key, frozenset({0}))] for key in row] for row in rows]


def test_eight_rows_that_agree_share_every_load() -> None:
    keys = [0, 5, 9]
    for plan in (plan_in_order, plan_reordered):
        assert steps_of(plan(*csr([keys] * 8), 8)) == [[[(key, frozenset(range(8)))] for key in keys]]


@pytest.mark.parametrize("group_rows", range(1, 9))
def test_row_sets_are_ordered_by_size_then_bitmask(group_rows: int) -> None:
    expected = sorted(range(1, 2**group_rows), key=lambda subset: (-subset.bit_count(), subset))
    assert subset_order(group_rows).tolist() == expected
