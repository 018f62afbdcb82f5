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

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RIDGE = 1e-2
"""Ridge on M, a share of the mean squared entry of Z. Recall moves by less than .002 from 1e-4 to 1e-2 (MiniLM)."""

RELATIVE_RESIDUAL = 1e-4
MAX_ITERATIONS = 60
"""A rotary layer with its position columns takes about 40."""


@dataclass(frozen=True)
class Design:
    """Both sides of the form for every fit sequence, entries of mean square about one, and the allowed positions.

    z_q: one float32 [L_q, K] a sequence; z_k: [L_k, K]; allowed: bool [L_q, L_k], shared by the sequences.
    """

    z_q: Sequence[Float32]
    z_k: Sequence[Float32]
    allowed: Bool

    @property
    def positions(self) -> int:
        """Residuals that are summed: allowed positions of all sequences."""
        return int(self.allowed.sum()) * len(self.z_q)

    def centred(self, scores: Float32) -> Float32:
        """Scores [L_q, L_k] less each row's mean over its allowed keys, zero elsewhere; overwrites its argument."""
        mask = self.allowed.astype(np.float32)
        counts = np.maximum(mask.sum(axis=1, keepdims=True), 1)
        scores *= mask
        scores -= scores.sum(axis=1, keepdims=True) / counts
        scores *= mask
        return scores

    def gram_q(self) -> Float64:
        """Mean outer product [K, K] of the query side plus the ridge's share."""
        return _gram(self.z_q)

    def gram_k(self) -> Float64:
        """Mean outer product [K, K] of the key side about its mean, plus the ridge's share."""
        return _gram([z - z.mean(axis=0) for z in self.z_k])


def solve_bilinear(design: Design, scores: Callable[[int], Float32]) -> Float64:
    """M [K, K] minimising the mean of (centred scores(s) - Z_q M Z_k^T)^2 plus RIDGE |M|^2 over sequences s.

    `scores(s)` gives a fresh float32 [L_q, L_k].
    """
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


def _apply(design: Design, m: Float64) -> Float64:
    """The normal equations' left side at M."""
    m32 = m.astype(np.float32)
    return _gather(design, lambda s: np.asarray(design.z_q[s] @ m32 @ design.z_k[s].T)) + RIDGE * m


def _gather(design: Design, scores: Callable[[int], Float32]) -> Float64:
    """Mean over positions of z_q z_k^T x centred score: [K, K]."""
    total = np.zeros((design.z_q[0].shape[1], design.z_k[0].shape[1]))
    for s, (z_q, z_k) in enumerate(zip(design.z_q, design.z_k, strict=True)):
        total += z_q.T @ design.centred(scores(s)) @ z_k
    return total / design.positions


def _gram(sides: Sequence[Float32]) -> Float64:
    stacked = np.concatenate(sides)
    gram: Float64 = (stacked.T @ stacked).astype(np.float64) / len(stacked) + np.sqrt(RIDGE) * np.eye(stacked.shape[1])
    return gram
