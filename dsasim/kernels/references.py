"""Masks that look at no score: keys drawn at random, and sinks plus window; kept keys as CSR, ascending in each row.

`allowed` is bool [rows, keys] and `row_counts` int64 [rows], at most the allowed keys of each row.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

NUM_SINKS = 4
"""First keys that a sink-plus-window mask keeps, as in StreamingLLM (Xiao et al. 2023)."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


@njit()
def _mixed(state: np.uint64) -> np.uint64:
    """The output of SplitMix64 (Steele, Lea, Flood 2014, doi 10.1145/2660193.2660195) for one state."""
    state = (state ^ (state >> _S30)) * _MIX_1
    state = (state ^ (state >> _S27)) * _MIX_2
    return state ^ (state >> _S31)


@njit()
def random_rows(allowed: Bool, row_counts: Int64, seed: np.uint64, first_row: int) -> tuple[Int64, Int32]:
    """Keep row_counts[i] allowed keys of row i, each set of them as likely as any other.

    The first steps of a Fisher-Yates shuffle, with SplitMix64 started anew in each row from the seed and the row's
    number `first_row` + i: a row's keys do not depend on the rows before it.
    Returns indptr int64 [rows + 1], indices int32 [nnz].
    """
    num_rows, num_keys = allowed.shape
    indptr, indices = _empty_rows(row_counts)
    keys, drawn = np.empty(num_keys + 1, np.int32), np.zeros(num_keys, np.bool_)
    for i in range(num_rows):
        n, wanted, at = _allowed_keys(allowed[i], keys), row_counts[i], indptr[i]
        state = _mixed(seed + np.uint64(first_row + i + 1) * _STEP)
        for t in range(wanted):
            state += _STEP
            share = np.float64(_mixed(state) >> _S11) * 2.0**-53
            other = t + int(share * (n - t))
            keys[t], keys[other] = keys[other], keys[t]
            drawn[keys[t]] = True
        for j in range(num_keys if wanted else 0):
            if drawn[j]:
                indices[at] = j
                at += 1
                drawn[j] = False
    return indptr, indices


@njit()
def sink_window_rows(allowed: Bool, row_counts: Int64, first_position: int) -> tuple[Int64, Int32]:
    """Keep the first allowed keys of a row and those nearest to its own position, `first_position` + i.

    Of n keys the first min(4, n // 2) allowed ones are sinks; the others are the allowed keys j with the least
    |j - position|, the lower one first where two are as near.
    Worked example: 8 queries and keys, causal, 3 keys: row 6 keeps key 0, then 6 and 5; row 2 keeps 0, 2 and 1.
    Returns indptr int64 [rows + 1], indices int32 [nnz].
    """
    num_rows, num_keys = allowed.shape
    indptr, indices = _empty_rows(row_counts)
    keys = np.empty(num_keys + 1, np.int32)
    for i in range(num_rows):
        n, wanted, own = _allowed_keys(allowed[i], keys), row_counts[i], first_position + i
        sinks = min(NUM_SINKS, wanted // 2)
        end = max(sinks, np.searchsorted(keys[:n], own))
        begin = end
        while end - begin < wanted - sinks:  # keys[begin:end] is the window so far
            if begin > sinks and (end == n or own - keys[begin - 1] <= keys[end] - own):
                begin -= 1
            else:
                end += 1
        at = indptr[i]
        indices[at : at + sinks] = keys[:sinks]
        indices[at + sinks : at + wanted] = keys[begin:end]
    return indptr, indices


@njit()
def _empty_rows(row_counts: Int64) -> tuple[Int64, Int32]:
    indptr = np.zeros(row_counts.shape[0] + 1, np.int64)
    for i in range(row_counts.shape[0]):
        indptr[i + 1] = indptr[i] + row_counts[i]
    return indptr, np.empty(indptr[-1], np.int32)


@njit()
def _allowed_keys(allowed: Bool, keys: Int32) -> int:
    """Put the allowed keys of a row to the front of `keys` [> num_keys]; their number."""
    n = 0
    for j in range(allowed.shape[0]):
        keys[n] = j
        n += allowed[j]
    return n
