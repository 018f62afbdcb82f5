"""Attention on kept positions, in a fixed order of operations: the same bits on every machine and thread count.

Products are summed in float64 and rounded to float32 once; Numba neither reorders nor fuses these loops. A dot product
depends on its own query and key alone, so SDDMM on kept positions is the dense score matrix read at these positions.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


TILE_KEYS = 512
"""Keys whose scores are summed together: 64 numbers of each, and the sums, stay in a second-level cache."""


def tile_keys(k: Float32) -> Float64:
    """Keys [L_k, d_head] as `score_rows` reads them: float64 [tiles, d_head, TILE_KEYS], filled up with zeros."""
    L_k, d_head = k.shape
    tiles = -(-L_k // TILE_KEYS)
    padded = np.zeros((tiles * TILE_KEYS, d_head), np.float64)
    padded[:L_k] = k
    return np.ascontiguousarray(padded.reshape(tiles, TILE_KEYS, d_head).transpose(0, 2, 1))


@njit()
def score_rows(q: Float32, tiles: Float64, num_keys: int, scale: float) -> Float32:
    """Scores scale x q k^T float32 [rows, num_keys], of q [rows, d_head] and the first keys of `tile_keys`."""
    num_rows, d_head = q.shape
    width = tiles.shape[2]
    scores = np.empty((num_rows, num_keys), np.float32)
    sums = np.empty(width, np.float64)
    for start in range(0, num_keys, width):
        tile = tiles[start // width]
        n = min(width, num_keys - start)
        for i in range(num_rows):
            sums[:] = 0.0
            for d in range(d_head):
                factor = np.float64(q[i, d])
                for j in range(n):
                    sums[j] += factor * tile[d, j]
            row = scores[i, start : start + n]
            for j in range(n):
                row[j] = np.float32(sums[j] * scale)
    return scores


@njit()
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


@njit()
def weighted_values(weights: Float32, indptr: Int64, indices: Int32, v: Float64) -> Float32:
    """SpMM: CSR weights [nnz] times v [L_k, d_head], float32 [rows, d_head]; a row that keeps nothing is zero.

    Four keys at a time, added one after the other as if alone: the sums are read and written a quarter as often.
    """
    num_rows, d_head = indptr.shape[0] - 1, v.shape[1]
    output = np.empty((num_rows, d_head), np.float32)
    sums = np.empty(d_head, np.float64)
    for i in range(num_rows):
        sums[:] = 0.0
        t, last = indptr[i], indptr[i + 1]
        while t + 4 <= last:
            w0, w1 = np.float64(weights[t]), np.float64(weights[t + 1])
            w2, w3 = np.float64(weights[t + 2]), np.float64(weights[t + 3])
            v0, v1, v2, v3 = v[indices[t]], v[indices[t + 1]], v[indices[t + 2]], v[indices[t + 3]]
            for d in range(d_head):
                sums[d] = (((sums[d] + w0 * v0[d]) + w1 * v1[d]) + w2 * v2[d]) + w3 * v3[d]
            t += 4
        for rest in range(t, last):
            weight, value = np.float64(weights[rest]), v[indices[rest]]
            for d in range(d_head):
                sums[d] += weight * value[d]
        for d in range(d_head):
            output[i, d] = np.float32(sums[d])
    return output
