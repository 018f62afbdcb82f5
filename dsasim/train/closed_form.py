"""The closed-form fit of a low-rank prediction path to one layer of a frozen model.

Z W~q W~k^T Z^T is linear in M = W~q W~k^T: solve for M by ridge least squares on row-centred scores, then split M into
W~q and W~k of r columns by a singular value decomposition. The decomposition is of M between the square roots of the
two Gram matrices, so that what is cut away is the least in *scores*, not in weights (MiniLM, sigma .25, rank 8, in
float: recall .48/.57/.67 at layers 0/2/5 instead of .45/.53/.62).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.methods.integer_path import INPUT_BITS, project, projection_factor
from dsasim.trace.attention import FittedPredictor
from dsasim.trace.counts import ceil_share
from dsasim.trace.positions import Positions
from dsasim.train.bilinear import DesignMatrix, solve_bilinear
from dsasim.train.least_squares import least_squares_scale
from dsasim.train.positions import position_columns, rotary_frequencies
from dsasim.train.static_scales import fit_scales

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MAX_FIT_ROWS = 1024
"""Query rows of a sequence that are fitted to; all keys take part. Twice the shipped traces' 512."""

CONSTANT_IN_RMS = 2.0
POSITION_IN_RMS = 1.5
"""Amplitudes of the extra columns, in root mean squares of XP: large codes, inside what the scale of Z clips."""


@dataclass(frozen=True)
class FitSequence:
    """What the model computed in this layer on one fit text; x_kv is None in self-attention.

    x_q [L_q, d_model]; q [num_heads, L_q, d_head]; k [num_kv_heads, L_k, d_head]; x_kv [L_k, d_model].
    """

    x_q: Float32
    q: Float32
    k: Float32
    x_kv: Float32 | None = None


def fit_layer(
    sequences: Sequence[FitSequence],
    positions: Positions,
    sigma: Decimal,
    *,
    fitted_on: str,
    rotary_base: float | None = None,
    rank: int | None = None,
    seed: int = 0,
) -> FittedPredictor:
    """Fit a layer's prediction path to several sequences of one shape, see `fit_batch`."""
    same = [positions] * len(sequences)
    return fit_batch(sequences, same, sigma, fitted_on=fitted_on, rotary_base=rotary_base, rank=rank, seed=seed)[0]


def fit_batch(
    sequences: Sequence[FitSequence],
    positions: Sequence[Positions],
    sigma: Decimal,
    *,
    fitted_on: str,
    rotary_base: float | None = None,
    rank: int | None = None,
    seed: int = 0,
) -> tuple[FittedPredictor, ...]:
    """Fit a layer's prediction path to all sequences together; S~ approximates Q K^T before the model's scale.

    What is found belongs to the layer: each sequence gets the same weights and scales, beside columns as long as it is.
    `positions` say which keys each row may attend to, of each sequence; every row counts alike. Of more than
    MAX_FIT_ROWS rows a sequence every n-th is fitted to (the n of the longest). k = ceil(sigma x d_model); rank is
    ceil(k / num_heads) by default. `rotary_base`: the model's rotary theta, where it rotates Q and K; adds position
    columns. `seed` draws P. TraceError: sequences that do not fit their positions or each other.
    """
    _check_shapes(sequences, positions)
    d_model, num_heads, d_head = sequences[0].x_q.shape[1], sequences[0].q.shape[0], sequences[0].q.shape[2]
    k = ceil_share(sigma, d_model)
    projection = ternary_projection(d_model, k, seed)
    scale_x = least_squares_scale(np.concatenate([s.x_q for s in sequences]), INPUT_BITS)
    xp_q = [project(s.x_q, scale_x, projection) for s in sequences]
    xp_k = [
        own if s.x_kv is None else project(s.x_kv, scale_x, projection) for own, s in zip(xp_q, sequences, strict=True)
    ]
    unit = float(np.sqrt(np.mean(np.square(np.concatenate(xp_q), dtype=np.float64)))) * scale_x * projection_factor(k)
    longest = max(where.L_k for where in positions)
    extras = [extra_columns((where.L_q, where.L_k), unit, rotary_base, d_head, longest) for where in positions]
    to_unit = np.float32(scale_x * projection_factor(k) / unit)
    design = DesignMatrix(
        [np.hstack([xp * to_unit, q / unit]).astype(np.float32) for xp, (q, _) in zip(xp_q, extras, strict=True)],
        [np.hstack([xp * to_unit, k / unit]).astype(np.float32) for xp, (_, k) in zip(xp_k, extras, strict=True)],
        positions,
        stride=-(-max(where.L_q for where in positions) // MAX_FIT_ROWS),
    )
    in_units_q, in_units_k = _fit_weights(design, sequences, rank or -(-k // num_heads))
    w_q, w_k = (in_units_q / unit).astype(np.float32), (in_units_k / unit).astype(np.float32)
    scales = fit_scales(xp_q, xp_k, scale_x, extras, w_q, w_k)
    return tuple(
        FittedPredictor(sigma, projection, w_q, w_k, *columns, scales, columns[0].shape[1] - 1, fitted_on)
        for columns in extras
    )


def ternary_projection(d_model: int, k: int, seed: int) -> NDArray[np.int8]:
    """P int8 [d_model, k]: -1, 0, 1 with probabilities 1/6, 2/3, 1/6 (Achlioptas; the factor sqrt(3/k) is left out)."""
    draws = np.random.default_rng(seed).integers(0, 6, size=(d_model, k))
    return np.asarray((draws == 5).astype(np.int8) - (draws == 0).astype(np.int8))


def extra_columns(
    shape: tuple[int, ...], unit: float, rotary_base: float | None, d_head: int, longest: int | None = None
) -> tuple[Float32, Float32]:
    """The columns beside XP: [L_q, n] and [L_k, n], position columns first (rotary models), the constant column last.

    The constant stands on the query side only (zeros on the key side): with it a key can be wanted by every query.
    Queries are the last L_q of the L_k positions. `unit` is the root mean square of sqrt(3/k) XP. `longest`: keys of
    the longest sequence of the batch, which decides the frequencies; L_k by default.
    """
    L_q, L_k = shape
    if rotary_base is not None and L_q > L_k:
        raise TraceError(f"position columns: {L_q} queries cannot be the last of {L_k} positions")
    frequencies = np.zeros(0) if rotary_base is None else rotary_frequencies(rotary_base, d_head, longest or L_k)
    amplitude = np.float32(POSITION_IN_RMS * unit)
    at_queries = amplitude * position_columns(np.arange(L_k - L_q, L_k), frequencies)
    at_keys = amplitude * position_columns(np.arange(L_k), frequencies)
    constant = np.full((L_q, 1), CONSTANT_IN_RMS * unit, dtype=np.float32)
    return np.hstack([at_queries, constant]), np.hstack([at_keys, np.zeros((L_k, 1), dtype=np.float32)])


def _fit_weights(design: DesignMatrix, sequences: Sequence[FitSequence], rank: int) -> tuple[Float64, Float64]:
    """W~q [num_heads, K, r] and W~k [num_kv_heads, K, r]; the query heads of a kv head share its W~k."""
    num_heads, num_kv_heads = sequences[0].q.shape[0], sequences[0].k.shape[0]
    share = num_heads // num_kv_heads
    root_q, root_k = _square_root(design.gram_q()), _square_root(design.gram_k())
    w_q, w_k = [], []
    for kv_head in range(num_kv_heads):
        heads = range(kv_head * share, (kv_head + 1) * share)
        forms = [_fit_head(design, sequences, head, kv_head) for head in heads]
        stacked = np.concatenate([root_q @ m @ root_k for m in forms])
        left, values, right = np.linalg.svd(stacked, full_matrices=False)
        half = np.sqrt(values[:rank])
        parts = np.split(left[:, :rank] * half, share)
        w_q += [np.linalg.solve(root_q, part) for part in parts]
        w_k.append(np.linalg.solve(root_k, right[:rank].T * half))
    return np.stack(w_q), np.stack(w_k)


def _fit_head(design: DesignMatrix, sequences: Sequence[FitSequence], head: int, kv_head: int) -> Float64:
    def scores(s: int, rows: slice, num_keys: int) -> Float32:
        q, k = sequences[s].q[head, rows], sequences[s].k[kv_head, :num_keys]
        return np.asarray(q @ k.T, dtype=np.float32)

    return solve_bilinear(design, scores)


def _square_root(gram: Float64) -> Float64:
    values, vectors = np.linalg.eigh(gram)
    return np.asarray((vectors * np.sqrt(values)) @ vectors.T)


def _check_shapes(sequences: Sequence[FitSequence], positions: Sequence[Positions]) -> None:
    for number, (s, where) in enumerate(zip(sequences, positions, strict=True)):
        L_q, L_k = where.L_q, where.L_k
        inputs_k = s.x_q if s.x_kv is None else s.x_kv
        got = (s.x_q.shape[0], s.q.shape[1], inputs_k.shape[0], s.k.shape[1])
        if got != (L_q, L_q, L_k, L_k) or s.q.shape[0] % s.k.shape[0]:
            raise TraceError(
                f"fit sequence {number}: lengths of x_q, q, x_kv, k are {got}, heads {s.q.shape[0]}/{s.k.shape[0]}; "
                f"expected {(L_q, L_q, L_k, L_k)} and kv heads that divide the heads"
            )
