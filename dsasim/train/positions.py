"""Position columns for rotary models: our extension of the low-rank predictor.

The input X of a rotary attention layer carries no position, so a predictor that sees only XP cannot tell a near key
from a far one. Sine and cosine columns beside XP let the bilinear form of the fit express any cos and sin of
(i - j) x frequency, with weights that may depend on content.
"""

import math

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

LONGEST_WAVE_IN_LENGTHS = 4
"""Slowest frequency used: one whose wave is at most this many sequence lengths.

The model's slower rotations are nearly a constant over the sequence, and what they add lies in the span of the others:
on SmolLM2 at 512 tokens (theta 1e5, d_head 64) 24 frequencies capture no more mass than 16, while 8 capture a third to
two thirds of the gain over none (layer 0: .28 without, .31, .37; layer 13: .64, .82, .91; rank 16, in float).
"""


def rotary_frequencies(base: float, d_head: int, length: int) -> NDArray[np.float64]:
    """The model's own rotary frequencies base^(-2f/d_head) [F], in radians a token, that turn fast enough to matter.

    Worked example: base 1e5, d_head 64, length 512: waves up to 2048 tokens, the first 17 of 32.
    """
    every = base ** (-2.0 * np.arange(d_head // 2) / d_head)
    return every[2.0 * math.pi / every <= LONGEST_WAVE_IN_LENGTHS * length]


def position_columns(positions: NDArray[np.int64], frequencies: NDArray[np.float64]) -> Float32:
    """Columns sin, then cos, of position x frequency: [L, 2F] for positions [L] and frequencies [F]."""
    angles = positions[:, None].astype(np.float64) * frequencies[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
