"""Which points no other point beats in every objective."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dsasim.sweep.metrics import Sense


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
    kept = []
    for at in order:
        if not _dominated(costs[at], front):
            front = np.vstack((front, costs[at]))
            kept.append(int(numbers[at]))
    return kept


def _dominated(cost: NDArray[np.float64], front: NDArray[np.float64]) -> bool:
    return bool(((front <= cost).all(axis=1) & (front < cost).any(axis=1)).any())
