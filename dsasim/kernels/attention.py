"""Attention on kept positions, in a fixed order of operations: the same bits on every machine and thread count.

Products are summed in float64 and rounded to float32 once; Numba neither reorders nor fuses these loops. A dot product
depends on its own query and key alone, so SDDMM on kept positions is the dense score matrix read at these positions.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@njit(cache=True)
def score_matrix(q: Float32, k: Float32, scale: float) -> Float32:
    """Scores scale x q k^T float32 [L_q, L_k], of q [L_q, d_head] and k [L_k, d_head]."""
    L_q, d_head = q.shape
    L_k = k.shape[0]
    columns = np.empty((d_head, L_k), np.float64)
    for j in range(L_k):
        for d in range(d_head):
            columns[d, j] = k[j, d]
    scores = np.empty((L_q, L_k), np.float32)
    sums = np.empty(L_k, np.float64)
    for i in range(L_q):
        sums[:] = 0.0
        for d in range(d_head):
            factor = np.float64(q[i, d])
            for j in range(L_k):
                sums[j] += factor * columns[d, j]
        for j in range(L_k):
            scores[i, j] = np.float32(sums[j] * scale)
    return scores


@njit(cache=True)
def masked_softmax(scores: Float32, indptr: Int64, indices: Int32) -> Float32:
    """Softmax of each row of scores [L_q, L_k] over its kept keys alone: float32 [nnz] in CSR order.

    Worked example: scores 0 and ln 3 kept, any third one not: 0.25 and 0.75.
    """
    weights = np.empty(indices.shape[0], np.float32)
    for i in range(indptr.shape[0] - 1):
        first, last = indptr[i], indptr[i + 1]
        top = -np.inf
        for t in range(first, last):
            top = max(top, np.float64(scores[i, indices[t]]))
        total = 0.0
        for t in range(first, last):
            weights[t] = np.float32(np.exp(np.float64(scores[i, indices[t]]) - top))
            total += np.float64(weights[t])
        for t in range(first, last):
            weights[t] = np.float32(np.float64(weights[t]) / total)
    return weights


@njit(cache=True)
def weighted_values(weights: Float32, indptr: Int64, indices: Int32, v: Float32) -> Float32:
    """SpMM: CSR weights [nnz] times v [L_k, d_head], float32 [L_q, d_head]; a row that keeps nothing is zero."""
    d_head = v.shape[1]
    output = np.empty((indptr.shape[0] - 1, d_head), np.float32)
    sums, vectors = np.empty(d_head, np.float64), v.astype(np.float64)
    for i in range(indptr.shape[0] - 1):
        sums[:] = 0.0
        for t in range(indptr[i], indptr[i + 1]):
            weight = np.float64(weights[t])
            for d in range(d_head):
                sums[d] += weight * vectors[indices[t], d]
        for d in range(d_head):
            output[i, d] = np.float32(sums[d])
    return output
