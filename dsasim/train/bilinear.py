"""Ridge least squares of a bilinear form: the M of Z_q M Z_k^T nearest to given scores, row by row up to a constant.

A row's selection and its softmax ignore a constant added to the whole row, so the residual is centred over each row's
allowed keys before it is squared. The normal equations are solved by conjugate gradients, preconditioned by the
inverse Gram matrices of both sides (exact for one sequence without a mask); the masked, centred residual never needs
the K^2 x K^2 system.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.trace.positions import Positions, RowBlock

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RIDGE = 1e-2
"""Ridge on M, a share of the mean squared entry of Z. Recall moves by less than .002 from 1e-4 to 1e-2 (MiniLM)."""

RELATIVE_RESIDUAL = 1e-4
MAX_ITERATIONS = 60
"""A rotary layer with its position columns takes about 40."""


ScoreRows = Callable[[int, slice, int], Float32]
"""scores(s, rows, num_keys): a fresh float32 [rows, num_keys] of sequence s; `rows` may have a stride."""


@dataclass(frozen=True)
class DesignMatrix:
    """Both sides of the form for every fit sequence, entries of mean square about one, and the allowed positions.

    z_q: one float32 [L_q, K] a sequence; z_k: [L_k, K]; `positions`: one a sequence. The residuals of every `stride`-th
    row are summed, a block of rows at a time: no L_q x L_k array is made.
    """

    z_q: Sequence[Float32]
    z_k: Sequence[Float32]
    positions: Sequence[Positions]
    stride: int = 1

    @property
    def num_positions(self) -> int:
        """Residuals that are summed: allowed positions of the rows taken, over all sequences."""
        return sum(int(positions.counts[:: self.stride].sum()) for positions in self.positions)

    def taken(self, positions: Positions, block: RowBlock) -> tuple[slice, Bool]:
        """The rows of a block that are taken, as an index into [L_q, ...], and their allowed keys [rows, num_keys]."""
        skipped = -block.first % self.stride
        rows = slice(block.first + skipped, block.first + block.num_rows, self.stride)
        return rows, positions.allowed(*block)[skipped :: self.stride]

    def gram_q(self) -> Float64:
        """Mean outer product [K, K] of the query side plus the ridge's share."""
        return _gram(self.z_q)

    def gram_k(self) -> Float64:
        """Mean outer product [K, K] of the key side about its mean, plus the ridge's share."""
        return _gram([z - z.mean(axis=0) for z in self.z_k])


def solve_bilinear(design: DesignMatrix, scores: ScoreRows) -> Float64:
    """M [K, K] minimising the mean of (centred scores - Z_q M Z_k^T)^2 plus RIDGE |M|^2 over rows and sequences."""
    right = _gather(design, scores)
    inverse_q, inverse_k = np.linalg.inv(design.gram_q()), np.linalg.inv(design.gram_k())
    m, residual = np.zeros_like(right), right.copy()
    direction = inverse_q @ residual @ inverse_k
    slope = float(np.sum(residual * direction))
    target = RELATIVE_RESIDUAL**2 * float(np.sum(right * right))
    for _ in range(MAX_ITERATIONS):
        if float(np.sum(residual * residual)) <= target:
            break
        image = _apply(design, direction)
        step = slope / float(np.sum(direction * image))
        m += step * direction
        residual -= step * image
        preconditioned = inverse_q @ residual @ inverse_k
        slope, previous = float(np.sum(residual * preconditioned)), slope
        direction = preconditioned + (slope / previous) * direction
    return m


def centred(scores: Float32, allowed: Bool) -> Float32:
    """Scores [rows, keys] less each row's mean over its allowed keys, zero elsewhere; overwrites its argument."""
    mask = allowed.astype(np.float32)
    counts = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    scores *= mask
    scores -= scores.sum(axis=1, keepdims=True) / counts
    scores *= mask
    return scores


def _apply(design: DesignMatrix, m: Float64) -> Float64:
    """The normal equations' left side at M."""
    m32 = m.astype(np.float32)

    def predicted(s: int, rows: slice, num_keys: int) -> Float32:
        return np.asarray(design.z_q[s][rows] @ m32 @ design.z_k[s][:num_keys].T)

    return _gather(design, predicted) + RIDGE * m


def _gather(design: DesignMatrix, scores: ScoreRows) -> Float64:
    """Mean over positions of z_q z_k^T x centred score: [K, K]."""
    total = np.zeros((design.z_q[0].shape[1], design.z_k[0].shape[1]))
    for s, (z_q, z_k, positions) in enumerate(zip(design.z_q, design.z_k, design.positions, strict=True)):
        for block in positions.blocks():
            rows, allowed = design.taken(positions, block)
            residual = centred(scores(s, rows, block.num_keys), allowed)
            total += z_q[rows].T @ residual @ z_k[: block.num_keys]
    return total / design.num_positions


def _gram(sides: Sequence[Float32]) -> Float64:
    stacked = np.concatenate(sides)
    gram: Float64 = (stacked.T @ stacked).astype(np.float64) / len(stacked) + np.sqrt(RIDGE) * np.eye(stacked.shape[1])
    return gram
