"""Blocks of positions: one value for each of them, and one position each again; those at the ends may be smaller."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pooled(pool: np.ufunc, values: NDArray[Any], rows: int, keys: int) -> NDArray[Any]:
    """Values [rows, keys] reduced by `pool` over blocks of rows x keys.

    Worked example: the sums of 1 2 3 and 4 5 6 in blocks of 2 x 2 are 12 and 9.
    """
    by_keys = pool.reduceat(values, np.arange(0, values.shape[1], keys), axis=1)
    reduced: NDArray[Any] = pool.reduceat(by_keys, np.arange(0, len(values), rows), axis=0)
    return reduced


def spread(values: NDArray[Any], rows: int, keys: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Values of blocks of rows x keys at each position of an array of `shape`."""
    return np.repeat(np.repeat(values, rows, axis=0), keys, axis=1)[: shape[0], : shape[1]]
