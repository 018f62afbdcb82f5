"""Selection of keys from score rows: the kept keys and the cycles of the selector come from the same passes.

Scores are int32 or float32 [L_q, L_k] without NaN, `allowed` is bool [L_q, L_k]; kept keys come back as CSR, ascending
in each row.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
ScoreArray = NDArray[np.int32] | NDArray[np.float32]

PASS_OVERHEAD_CYCLES = 3
"""Cycles of a quick-select pass besides its comparisons."""


@njit()
def top_k_rows(
    scores: ScoreArray, allowed: Bool, row_counts: Int64, comparators: int
) -> tuple[Int64, Int32, Int64, Int64]:
    """Keep the row_counts[i] largest allowed scores of row i, ties to the lowest key, by hardware quick-select.

    A pass takes the n keys that remain, in key order: the pivot is the score of number n // 2 (from 0), every score is
    compared with it, `comparators` a cycle, and falls into the greater, the equal or the less class. It lasts
    ceil(n / comparators) + 3 cycles. Are more keys greater than are wanted, or as many, the greater class remains;
    do the equal ones reach the wanted number, the row is done, with the lowest of them; else both are kept and the
    less class remains. A row that wants nothing takes no pass.

    Worked example: scores 5 1 7 7 3, 2 comparators. Two wanted: pass 1 has n = 5 and pivot 7 (number 2), none greater,
    two equal: done, keys 2 3 after 3 + 3 = 6 cycles and 5 comparisons. Three wanted: pass 1 keeps both 7s, 5 1 3
    remain and one is wanted. Pass 2: n = 3, pivot 1, greater are 5 3: 2 + 3 cycles. Pass 3: n = 2, pivot 3, greater
    is 5: 1 + 3 cycles. Pass 4: n = 1, pivot 5: 1 + 3 cycles. Keys 0 2 3 after 19 cycles and 5 + 3 + 2 + 1 = 11
    comparisons.

    row_counts int64 [L_q], at most the row's allowed keys.
    Returns indptr int64 [L_q + 1], indices int32 [nnz], row_cycles and comparisons int64 [L_q].
    """
    L_q, L_k = scores.shape
    indptr = np.zeros(L_q + 1, np.int64)
    for i in range(L_q):
        indptr[i + 1] = indptr[i] + row_counts[i]
    indices = np.empty(indptr[L_q], np.int32)
    row_cycles = np.zeros(L_q, np.int64)
    comparisons = np.zeros(L_q, np.int64)
    values, remaining, keys = np.empty_like(scores[0]), np.empty_like(scores[0]), np.empty(L_k, np.int32)
    for i in range(L_q):
        if row_counts[i] == 0:
            continue
        n = _gather(scores[i], allowed[i], values, keys)
        remaining[:n] = values[:n]
        cut, ties, cycles, compared = _quick_select(remaining, n, row_counts[i], comparators)
        row_cycles[i] = cycles
        comparisons[i] = compared
        _emit(values, keys, n, cut, ties, indices, indptr[i])
    return indptr, indices, row_cycles, comparisons


@njit()
def threshold_rows(
    scores: ScoreArray, allowed: Bool, threshold: float, factor: float, comparators: int
) -> tuple[Int64, Int32, Int64, Int64]:
    """Keep the allowed scores with score x factor > threshold (in float64); a row may keep none.

    Every allowed score is compared once, `comparators` a cycle: ceil(n / comparators) cycles a row.
    Worked example: scores 5 1 7 7 3, factor 0.5, threshold 1.5, 2 comparators: keys 0 2 3 (3 x 0.5 is not above),
    3 cycles, 5 comparisons.

    Returns indptr int64 [L_q + 1], indices int32 [nnz], row_cycles and comparisons int64 [L_q].
    """
    L_q, L_k = scores.shape
    indptr = np.zeros(L_q + 1, np.int64)
    indices = np.empty(L_q * L_k, np.int32)
    row_cycles = np.zeros(L_q, np.int64)
    comparisons = np.zeros(L_q, np.int64)
    kept = 0
    for i in range(L_q):
        n = 0
        for j in range(L_k):
            n += allowed[i, j]
            if allowed[i, j] and np.float64(scores[i, j]) * factor > threshold:
                indices[kept] = j
                kept += 1
        indptr[i + 1] = kept
        row_cycles[i] = (n + comparators - 1) // comparators
        comparisons[i] = n
    return indptr, indices[:kept].copy(), row_cycles, comparisons


@njit()
def _gather(scores: ScoreArray, allowed: Bool, values: ScoreArray, keys: Int32) -> int:
    """Put the allowed scores of a row and their keys to the front of `values` and `keys`; their number."""
    n = 0
    for j in range(scores.shape[0]):
        values[n] = scores[j]
        keys[n] = j
        n += allowed[j]
    return n


@njit()
def _quick_select(remaining: ScoreArray, n: int, wanted: int, comparators: int) -> tuple[float, int, int, int]:
    """The score of number `wanted` from the top, how many equal to it are kept, cycles and comparisons.

    Overwrites `remaining` [>= n]. An int32 score comes back as an exact float64.
    """
    cycles, compared = 0, 0
    while True:
        pivot = remaining[n // 2]
        cycles += (n + comparators - 1) // comparators + PASS_OVERHEAD_CYCLES
        compared += n
        greater, equal = 0, 0
        for t in range(n):
            greater += remaining[t] > pivot
            equal += remaining[t] == pivot
        if greater < wanted <= greater + equal:
            return float(pivot), wanted - greater, cycles, compared
        keep_greater = wanted <= greater
        left = 0
        for t in range(n):
            value = remaining[t]
            remaining[left] = value
            left += (value > pivot) if keep_greater else (value < pivot)
        if not keep_greater:
            wanted -= greater + equal
        n = left


@njit()
def _emit(values: ScoreArray, keys: Int32, n: int, cut: float, ties: int, indices: Int32, at: int) -> None:
    """Write the keys whose score is above `cut`, and the first `ties` equal to it, ascending, from indices[at]."""
    for t in range(n):
        value = float(values[t])
        tied = value == cut and ties > 0
        ties -= tied
        if value > cut or tied:
            indices[at] = keys[t]
            at += 1
