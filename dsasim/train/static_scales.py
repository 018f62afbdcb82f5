"""Static scales of least squared error for every step of the prediction path, found on the fit sequences."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dsasim.predictors.integer_path import combined_codes, head_accumulators, projection_factor
from dsasim.predictors.quantise import Int32, Int64, least_squares_scale

Float32 = NDArray[np.float32]
Extras = tuple[Float32, Float32]
"""The columns beside XP: [L_q, n] and [L_k, n]."""

FITTED_BITS = (2, 4, 8)


def fit_scales(
    xp_q: Sequence[Int32],
    xp_k: Sequence[Int32],
    scale_x: float,
    extras: Sequence[Extras],
    w_q: Float32,
    w_k: Float32,
) -> Mapping[int, Mapping[str, Float32]]:
    """For each width in FITTED_BITS the scales of x [1], xp [1], w_q [H, r], w_k [H_kv, r], q [H] and k [H_kv].

    Found front to back, each on the codes that the steps before it give: xp_q, xp_k are the exact integer XP [L, k] of
    each sequence at input scale `scale_x`; `extras` the columns beside them, of each sequence those of its positions;
    w_q [H, K, r], w_k [H_kv, K, r].
    """
    return {bits: scales_at(bits, xp_q, xp_k, scale_x, extras, w_q, w_k) for bits in FITTED_BITS}


def scales_at(
    bits: int,
    xp_q: Sequence[Int32],
    xp_k: Sequence[Int32],
    scale_x: float,
    extras: Sequence[Extras],
    w_q: Float32,
    w_k: Float32,
) -> dict[str, Float32]:
    """The scales of one width, see `fit_scales`."""
    factor = scale_x * projection_factor(xp_q[0].shape[1])
    longest = max(extras, key=lambda columns: len(columns[1]))  # whose columns are those of the others too
    entries = [xp.ravel() * factor for xp in xp_q] + [columns.ravel() for columns in longest]
    entries += [xp.ravel() * factor for xp, same in zip(xp_k, xp_q, strict=True) if xp is not same]
    scale_z = least_squares_scale(np.concatenate(entries), bits)
    z_q = np.concatenate(
        [combined_codes(xp, scale_x, q, scale_z, bits) for xp, (q, _) in zip(xp_q, extras, strict=True)]
    )
    z_k = np.concatenate(
        [combined_codes(xp, scale_x, k, scale_z, bits) for xp, (_, k) in zip(xp_k, extras, strict=True)]
    )
    scale_w_q, scale_q = _side_scales(z_q, scale_z, w_q, bits)
    scale_w_k, scale_k = _side_scales(z_k, scale_z, w_k, bits)
    return {
        "x": np.array([scale_x], dtype=np.float32),
        "xp": np.array([scale_z], dtype=np.float32),
        "w_q": scale_w_q,
        "w_k": scale_w_k,
        "q": scale_q,
        "k": scale_k,
    }


def _side_scales(z: Int64, scale_z: float, weights: Float32, bits: int) -> tuple[Float32, Float32]:
    """Scales of W~ [heads, r] and of its products [heads]; z [rows, K] codes, weights [heads, K, r]."""
    of_weights = [[least_squares_scale(column, bits) for column in head.T] for head in weights]
    scale_w = np.array(of_weights, dtype=np.float32)
    scale_out = [
        least_squares_scale(head_accumulators(z, head, scale, bits) * (scale_z * scale.astype(np.float64)), bits)
        for head, scale in zip(weights, scale_w, strict=True)
    ]
    return scale_w, np.array(scale_out, dtype=np.float32)
