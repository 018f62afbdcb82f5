"""How much of the objectives' space a set of points dominates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dsasim.sweep.metrics import Sense
from dsasim.sweep.pareto import pareto_front


def hypervolume(points: NDArray[np.float64], reference: Sequence[float]) -> float:
    """The volume that is dominated by `points` [n, dimensions], all minimised, up to `reference`: slice by slice.

    Worked example: (0, 1) and (1, 0) up to (2, 2) dominate 2 + 2 - 1 = 3.
    """
    inside = points[(points < np.asarray(reference)).all(axis=1)]
    if not len(inside):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - inside.min())
    senses: tuple[Sense, ...] = ("min",) * points.shape[1]
    front = inside[pareto_front(dict(enumerate(inside.tolist())), senses)]  # the others add nothing
    front = front[np.argsort(front[:, -1])]
    heights = np.append(front[1:, -1], reference[-1]) - front[:, -1]
    return sum(
        float(height) * hypervolume(front[: at + 1, :-1], reference[:-1])
        for at, height in enumerate(heights)
        if height > 0
    )
