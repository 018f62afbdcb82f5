"""The plan of a head by name of its order."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsasim.dataflows.plan import ORDERS, make_plan
from dsasim.masks import KeepMask

KEEP = KeepMask.from_dense(
    np.array([[1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=np.bool_)
)


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_loads_and_steps_sum_over_groups(order: str) -> None:
    """Groups of two rows: the worked example of kernels.plan, nothing, and one full row."""
    plan = make_plan(KEEP, order, 2)
    assert plan.group_loads().tolist() == [4, 0, 4]
    assert (plan.k_loads, plan.plan_steps) == (8, 7)


def test_orders_differ_in_what_they_share() -> None:
    """Rows keep keys 0 1 and 1 2: in order key 1 is loaded twice, reordered once."""
    keep = KeepMask.from_dense(np.array([[1, 1, 0], [0, 1, 1]], dtype=np.bool_))
    assert make_plan(keep, "in_order", 2).k_loads == 4
    assert make_plan(keep, "reordered", 2).k_loads == 3


def steps_in_order(group: np.ndarray) -> list[int]:
    """Distinct keys of each step, from the definition: step t takes every row's t-th key."""
    keys = [np.flatnonzero(row).tolist() for row in group]
    return [len({row[turn] for row in keys if turn < len(row)}) for turn in range(max(map(len, keys)))]


def steps_reordered(group: np.ndarray) -> list[int]:
    """Distinct keys of each step, from the definition: while rows are idle, the lowest key wanted by exactly the set
    of idle rows that comes first (most rows, then lowest bitmask)."""
    left = {key: sum(1 << row for row in np.flatnonzero(column)) for key, column in enumerate(group.T) if column.any()}
    steps = []
    while left:
        idle, loads = 0, 0
        for rows in left.values():
            idle |= rows
        while fitting := [(-rows.bit_count(), rows, key) for key, rows in left.items() if rows & ~idle == 0]:
            _, rows, key = min(fitting)
            del left[key]
            idle &= ~rows
            loads += 1
        steps.append(loads)
    return steps


DEFINITIONS = {"in_order": steps_in_order, "reordered": steps_reordered}


@pytest.mark.parametrize("order", sorted(ORDERS))
@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 90)),
    density=st.sampled_from([0.02, 0.1, 0.4, 0.9, 1.0]),
    token_parallelism=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
@example(shape=(9, 90), density=0.4, token_parallelism=8, seed=0)
def test_k_loads_and_plan_steps_are_exact(
    order: str, shape: tuple[int, int], density: float, token_parallelism: int, seed: int
) -> None:
    """Relied on from outside. Any mask, T and order; the last group may be short."""
    rng = np.random.default_rng(seed)
    keep = rng.random(shape) < density * rng.random(shape[0])[:, None] * 2
    plan = make_plan(KeepMask.from_dense(keep), order, token_parallelism)
    groups = [DEFINITIONS[order](keep[at : at + token_parallelism]) for at in range(0, shape[0], token_parallelism)]
    assert plan.plan_steps == sum(map(len, groups))
    assert plan.k_loads == sum(map(sum, groups))
    assert plan.group_loads().tolist() == [sum(group) for group in groups]
    assert np.diff(plan.load_ptr).tolist() == [loads for group in groups for loads in group]
    assert np.bitwise_count(plan.load_rows).sum() == keep.sum()
