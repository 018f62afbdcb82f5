"""The plan of a head: the steps of each group of query rows, by one of two orders.

Its numbers of loads and steps (k_loads, plan_steps) are relied on from outside. Which of its keys the scheduler spills
depends on the depth of its ID queues (`kernels.schedule`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import SchedulerConfig
from dsasim.kernels import plan as kernel
from dsasim.kernels.schedule import spilled_keys
from dsasim.masks import KeepMask

ORDERS: dict[str, Callable[[NDArray[np.int64], NDArray[np.int32], int], kernel.Plan]] = {
    "in_order": kernel.plan_in_order,
    "reordered": kernel.plan_reordered,
}


class Plan(NamedTuple):
    """Steps and loads of all groups of a head, nested like CSR (see `kernels.plan`)."""

    step_ptr: NDArray[np.int64]
    load_ptr: NDArray[np.int64]
    load_key: NDArray[np.int32]
    load_rows: NDArray[np.uint8]

    @property
    def k_loads(self) -> int:
        """Key vectors the groups ask for, before any sharing between lanes."""
        return len(self.load_key)

    @property
    def plan_steps(self) -> int:
        """Lock-step steps, summed over groups."""
        return len(self.load_ptr) - 1

    def group_loads(self) -> NDArray[np.int64]:
        """Loads of each group [groups]."""
        loads: NDArray[np.int64] = np.diff(self.load_ptr[self.step_ptr])
        return loads

    def served(self) -> NDArray[np.int64]:
        """Kept positions that the loads before each one serve [loads + 1]: differences are those of any stretch."""
        return np.concatenate([[0], np.cumsum(np.bitwise_count(self.load_rows), dtype=np.int64)])

    def group_served(self) -> NDArray[np.int64]:
        """Kept positions of each group [groups]."""
        positions: NDArray[np.int64] = np.diff(self.served()[self.load_ptr[self.step_ptr]])
        return positions


def make_plan(keep: KeepMask, order: str, token_parallelism: int) -> Plan:
    """Plan a head's kept keys in groups of `token_parallelism` rows; `order` is in_order or reordered."""
    return Plan(*ORDERS[order](keep.indptr, keep.indices, token_parallelism))


def group_spills(config: SchedulerConfig, plan: Plan) -> NDArray[np.int64]:
    """Keys of each group [groups] that find their ID queue full; in order there are no queues."""
    if config.order == "in_order":
        return np.zeros(len(plan.step_ptr) - 1, np.int64)
    spills: NDArray[np.int64] = spilled_keys(plan.step_ptr, plan.load_ptr, plan.load_rows, config.id_queue_entries)
    return spills
