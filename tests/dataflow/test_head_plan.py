"""The plan of a head by name of its order."""

import numpy as np
import pytest

from dsasim.dataflow.plan import ORDERS, make_plan
from dsasim.predictors.base import KeepMask

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
