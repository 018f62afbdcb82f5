"""The prediction path of a fitted low-rank predictor in integers, step by step: what the predictor unit computes.

    X codes (8 bit) --P, adds only--> XP exact --requantise--> Z codes (bits) --W~--> int32 --requantise--> Q~, K~ codes

Z = [sqrt(3/k) X P | extra]: the extra columns (positions, a constant) do not depend on X and are quantised beforehand
with the scale of Z, so that one accumulator sums over all of Z. W~ has one scale a column (a head's output channel):
it costs nothing, as the requantisation multiplier is per column anyway, and saves much of the loss at 4 bits.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dsasim.methods.quantise import Int32, Int64, Multiplier, exact_matmul, largest_code, quantise, requantise

Float32 = NDArray[np.float32]

INPUT_BITS = 8
"""Width of X on its way into the ternary projection."""

TERNARY_BITS = 2
"""Width of one entry of the projection P, one of -1, 0, 1."""

PROJECTED_ROWS = 1024
"""Rows of X projected together; the result does not depend on it."""


def projection_factor(k: int) -> float:
    """sqrt(3/k), the factor of the ternary projection; it is folded into the scale of XP, never multiplied."""
    return math.sqrt(3.0 / k)


def project(x: Float32, scale_x: float, projection: NDArray[np.int8]) -> Int32:
    """XP [L, k] in integers: X [L, d_model] as 8-bit codes times P [d_model, k] in {-1, 0, 1}, exact.

    Some rows at a time: the codes of a long input are larger than it is.
    """
    ternary, top = projection.astype(np.int64), largest_code(INPUT_BITS)
    xp = np.empty((len(x), projection.shape[1]), np.int32)
    for first in range(0, len(x), PROJECTED_ROWS):
        rows = slice(first, first + PROJECTED_ROWS)
        xp[rows] = exact_matmul(quantise(x[rows], scale_x, INPUT_BITS), ternary, top, 1)
    return xp


def combined_codes(xp: Int32, scale_x: float, extra: Float32, scale_z: float, bits: int) -> Int64:
    """Z codes [L, K]: XP [L, k] requantised to `bits`, beside the quantised extra columns [L, K - k]."""
    multiplier = Multiplier.of(scale_x * projection_factor(xp.shape[1]) / scale_z)
    return np.concatenate([requantise(xp, multiplier, bits), quantise(extra, scale_z, bits)], axis=1)


def head_accumulators(z: Int64, weights: Float32, scale_w: Float32, bits: int) -> Int32:
    """Z codes [L, K] times the codes of W~ [K, r] (one scale a column, [r]): int32 accumulators [L, r]."""
    top = largest_code(bits)
    return exact_matmul(z, quantise(weights, scale_w.astype(np.float64), bits), top, top)


def head_codes(accumulators: Int32, scale_z: float, scale_w: Float32, scale_out: float, bits: int) -> Int64:
    """Q~ or K~ codes [L, r]: accumulators requantised to `bits`, one multiplier a column."""
    factors = scale_z * scale_w.astype(np.float64) / scale_out
    return requantise(accumulators, Multiplier.of(factors), bits)
