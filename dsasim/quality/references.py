"""Masks to compare a keep mask with: exact top-k, random, sink plus window, each with the same number of keys a row.

Each makes the mask of a block of rows from its allowed positions [num_rows, num_keys] and row counts [num_rows].
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.references import random_rows, sink_window_rows
from dsasim.kernels.select import top_k_rows
from dsasim.masks import KeepMask

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]


def oracle_mask(scores: Float32, allowed: Bool, row_counts: Int64) -> KeepMask:
    """The row_counts largest allowed exact scores [num_rows, num_keys] of each row, ties to the lowest key."""
    indptr, indices, _, _ = top_k_rows(scores, allowed, row_counts, 1)
    return KeepMask(indptr, indices, allowed.shape[1])


def random_mask(allowed: Bool, row_counts: Int64, seed: tuple[int, ...], first_row: int = 0) -> KeepMask:
    """Allowed keys drawn uniformly without repetition; the same seed gives a row the same keys in every block."""
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    return KeepMask(*random_rows(allowed, row_counts, state, first_row), allowed.shape[1])


def sink_window_mask(allowed: Bool, row_counts: Int64, first_position: int) -> KeepMask:
    """The first keys of a row and those nearest to its own position, `first_position` + its number in the block."""
    return KeepMask(*sink_window_rows(allowed, row_counts, first_position), allowed.shape[1])
