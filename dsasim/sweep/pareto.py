"""Which points no other point beats in every objective."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dsasim.sweep.metrics import Sense

BLOCK = 64
"""Points that are compared with the front at a time: 64 with 10,000 take 640 kB."""


def pareto_front(points: Mapping[int, Sequence[float]], senses: Sequence[Sense]) -> list[int]:
    """Return the numbers of the points that no point dominates, best first by the first objective.

    A point dominates another if it is as good in every objective and better in one; equal points are all kept.
    Worked example: of (cycles, mm2) (10, 4), (20, 2), (20, 3) and (30, 2), all minimised, the first two are the front.
    """
    if not points:
        return []
    numbers = np.fromiter(points, np.int64)
    costs = np.array(list(points.values()), np.float64) * [1 if sense == "min" else -1 for sense in senses]
    # in lexicographic order no point is dominated by a later one, unless the two are equal
    order = np.lexsort((numbers, *costs.T[::-1]))
    front = np.empty((0, costs.shape[1]))
    kept: list[int] = []
    for block in np.array_split(order, max(1, len(order) // BLOCK)):
        left = block[~_dominated(costs[block], front)]
        fresh = left[~_dominated(costs[left], costs[left])]  # what a beaten one beats, its better beats too
        front = np.concatenate((front, costs[fresh]))
        kept += numbers[fresh].tolist()
    return kept


def _dominated(costs: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of `costs` [n, dimensions] one of `by` [m, dimensions] dominates."""
    no_worse = np.ones((len(costs), len(by)), np.bool_)
    better = np.zeros_like(no_worse)
    for ours, theirs in zip(costs.T, by.T, strict=True):
        no_worse &= theirs <= ours[:, None]
        better |= theirs < ours[:, None]
    return np.asarray((no_worse & better).any(axis=1))
