"""Masks to compare a keep mask with: exact top-k, random, sink plus window, each with the same number of keys a row."""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.select import top_k_rows
from dsasim.predictors import KeepMask

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]

NUM_SINKS = 4
"""First keys that a sink-plus-window mask keeps, as in StreamingLLM (Xiao et al. 2023)."""

_SINK_RANK = np.int32(1 << 30)


def oracle_mask(scores: Float32, allowed: Bool, row_counts: Int64) -> KeepMask:
    """The row_counts [L_q] largest allowed exact scores [L_q, L_k] of each row, ties to the lowest key."""
    return _highest(scores, allowed, row_counts)


def random_mask(allowed: Bool, row_counts: Int64, seed: tuple[int, ...]) -> KeepMask:
    """Allowed keys drawn uniformly without repetition; the same seed gives the same mask."""
    draws = np.random.default_rng(seed).random(allowed.shape, dtype=np.float32)
    return _highest(draws, allowed, row_counts)


def sink_window_mask(allowed: Bool, row_counts: Int64) -> KeepMask:
    """The first keys of a row and those nearest to its own position.

    Of n keys the first min(4, n // 2) allowed ones are sinks; the others are the allowed keys j with the least
    |j - (i + L_k - L_q)|, the lower one first where two are as near.
    Worked example: 8 queries and keys, causal, 3 keys: row 6 keeps key 0, then 6 and 5; row 2 keeps 0, 2 and 1.
    """
    L_q, L_k = allowed.shape
    own = np.arange(L_k - L_q, L_k, dtype=np.int32)
    rank = -np.abs(np.arange(L_k, dtype=np.int32)[None, :] - own[:, None])
    sinks = np.minimum(NUM_SINKS, row_counts // 2)
    first = np.cumsum(allowed, axis=1, dtype=np.int32) <= sinks[:, None]
    return _highest(np.where(first, _SINK_RANK, rank), allowed, row_counts)


def _highest(ranks: Float32 | NDArray[np.int32], allowed: Bool, row_counts: Int64) -> KeepMask:
    indptr, indices, _, _ = top_k_rows(ranks, allowed, row_counts, 1)
    return KeepMask(indptr, indices, allowed.shape[1])
