"""Statistics of measured and modelled times."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Rank correlation, ties by their mean rank. Worked example: (1, 2, 3) and (10, 30, 20) have 0.5."""
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def mape(measured: Sequence[float], modelled: Sequence[float]) -> float:
    """Mean of |modelled / measured - 1|. Worked example: 2 for 1 and 1 for 2 are off by 1 and 0.5: 0.75."""
    return float(np.mean(np.abs(np.asarray(modelled) / np.asarray(measured) - 1)))


def break_even(ratios: Sequence[tuple[int, float]]) -> int | None:
    """The length from which on the ratio of (length, ratio), ascending, stays above 1; None if it ends at or below.

    Worked example: 0.8 at 64, 1.1 at 128, 0.9 at 256, 1.2 at 512, 2 at 1024: from 512 on.
    """
    found = None
    for length, ratio in ratios:
        found = (found or length) if ratio > 1 else None
    return found


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    at = 0
    for _, equal in groupby(order, key=lambda index: values[index]):
        members = list(equal)
        ranks[members] = at + (len(members) - 1) / 2
        at += len(members)
    return ranks
