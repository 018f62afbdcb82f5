"""A captured call as a layer of a trace: heads and rows selected, outputs sampled and compared with the rebuilt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.capture.call import Sample
from dsasim.trace.capture.mask import CapturedMask, positions
from dsasim.trace.capture.selection import CaptureSelection
from dsasim.trace.packing import Bool

Float32 = NDArray[np.float32]
TOLERANCE = 1e-3
"""Largest rel. L2 between the model's output and the one rebuilt from what was captured, both in float32."""
LOW_PRECISION_TOLERANCE = 5e-2
"""The same for a model that computes in 16 bits, whose probabilities have 8 to 11 significant bits."""


@dataclass(frozen=True)
class Inputs:
    """x_q [L_q, D] and x_kv [L_k, D'], None for self-attention."""

    x_q: Float32
    x_kv: Float32 | None


def build_layer(
    number: int, sample: Sample, inputs: Inputs, scale: float, *, causal: bool, selection: CaptureSelection
) -> tuple[LayerArrays, list[str]]:
    """The layer with what is selected of it, `out` holding all rows, and notes about what the format says otherwise.

    `causal` is scaled_dot_product_attention's: key j for row i if j <= i. TraceError: an attention that a trace cannot
    hold (its reason), or rows and heads that do not exist.
    """
    _check_shapes(sample, scale)
    L_q, L_k = sample.q.shape[1], sample.k.shape[1]
    where = positions(sample.mask, L_q, L_k, causal=causal)
    notes = ["masks differ between heads: allowed is their union, other heads' keys get a bias of -30000"]
    x_q, x_kv = _same_width(inputs)
    sign = -1.0 if scale < 0 else 1.0
    layer = LayerArrays(
        number=number,
        q=sample.q * np.float32(sign),
        k=sample.k,
        v=sample.v,
        x_q=x_q,
        x_kv=x_kv,
        causal=where.causal,
        scale=abs(scale),
        allowed=where.allowed,
        bias=where.bias,
        out=sample.out,
    )
    layer = select_heads(layer, selection.heads)
    return select_rows(layer, where, selection.rows), notes if where.differs_between_heads else []


def _check_shapes(sample: Sample, scale: float) -> None:
    if sample.v.shape[2] != sample.q.shape[2]:
        raise TraceError(
            f"values of {sample.v.shape[2]} numbers beside queries of {sample.q.shape[2]}: no such trace yet"
        )
    if scale == 0:
        raise TraceError("a scale of 0: the scores are not q k^T")
    for name in ("q", "k", "v", "out"):
        if not np.isfinite(getattr(sample, name)).all():
            raise TraceError(f"{name} holds NaN or Inf")


def _same_width(inputs: Inputs) -> tuple[Float32, Float32 | None]:
    """Both inputs with as many columns: the narrower gets columns of zeros, which any projection ignores."""
    if inputs.x_kv is None:
        return inputs.x_q, None
    width = max(inputs.x_q.shape[1], inputs.x_kv.shape[1])
    x_q, x_kv = (np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (inputs.x_q, inputs.x_kv))
    return x_q, x_kv


def select_heads(layer: LayerArrays, heads: Sequence[int] | None) -> LayerArrays:
    """Only these query heads and the kv heads they read; kv heads are stored once a query head if read unequally."""
    if heads is None:
        return layer
    num_heads, run = len(layer.q), len(layer.q) // len(layer.k)
    if heads[-1] >= num_heads:
        raise TraceError(f"heads: no head {heads[-1]} in layer {layer.number}, which has heads 0-{num_heads - 1}")
    kv = [head // run for head in heads]
    shares = {kv.count(head) for head in kv}
    kv_heads = sorted(set(kv)) if len(shares) == 1 else kv
    chosen = list(heads)
    bias = layer.bias if layer.bias is None or len(layer.bias) == 1 else layer.bias[chosen]
    out = None if layer.out is None else layer.out[chosen]
    return replace(layer, q=layer.q[chosen], k=layer.k[kv_heads], v=layer.v[kv_heads], bias=bias, out=out)


def select_rows(layer: LayerArrays, where: CapturedMask, rows: Sequence[int] | None) -> LayerArrays:
    """Only these query rows. Of a causal layer the keys after the last row go too: consecutive rows stay causal."""
    if rows is None:
        return layer
    L_q, L_k = layer.q.shape[1], layer.k.shape[1]
    if rows[-1] >= L_q:
        raise TraceError(f"rows: no row {rows[-1]} in layer {layer.number}, which has rows 0-{L_q - 1}")
    chosen, keys = list(rows), L_k - (L_q - 1 - rows[-1]) if layer.causal else L_k
    consecutive = rows[-1] - rows[0] + 1 == len(rows)
    stays_causal = layer.causal and consecutive and len(rows) > 1
    seen = where.of_row(L_q, L_k)[chosen, :keys]
    stored = layer.allowed[chosen, :keys] if stays_causal and layer.allowed is not None else seen
    x_kv = layer.x_q if layer.x_kv is None else layer.x_kv
    return replace(
        layer,
        q=layer.q[:, chosen],
        k=layer.k[:, :keys],
        v=layer.v[:, :keys],
        x_q=layer.x_q[chosen],
        x_kv=x_kv[:keys],
        causal=stays_causal,
        allowed=None if (stays_causal and layer.allowed is None) or stored.all() else stored,
        bias=None if layer.bias is None else layer.bias[:, chosen, :keys],
        out=None if layer.out is None else layer.out[:, chosen],
    )


def seen_positions(layer: LayerArrays) -> Bool:
    """What the layer's rows may attend to, bool [L_q, L_k]."""
    return CapturedMask(layer.causal, layer.allowed, None, differs_between_heads=False).of_row(
        layer.q.shape[1], layer.k.shape[1]
    )


def sample_outputs(layer: LayerArrays, num_rows: int, seen: Bool) -> LayerArrays:
    """The layer with the outputs of `num_rows` rows a head, drawn with a seed from the layer's number.

    Rows that may attend to nothing have no output worth the name (NaN, 0 or the mean of all values, by model).
    """
    candidates = np.flatnonzero(seen.any(axis=1))
    count = min(num_rows, len(candidates))
    if layer.out is None or count == 0:
        return replace(layer, out=None, out_rows=None)
    rng = np.random.default_rng(layer.number)
    drawn = [np.sort(rng.choice(candidates, count, replace=False)) for _ in range(len(layer.q))]
    rows = np.stack(drawn).astype(np.int32)
    return replace(layer, out_rows=rows, out=np.take_along_axis(layer.out, rows[:, :, None], axis=1))


def rebuilt_rel_l2(layer: LayerArrays, seen: Bool) -> float:
    """How far the sampled outputs are from those rebuilt of q, k, v, mask and bias: sqrt(sum |d|^2 / sum |ref|^2)."""
    difference = reference = 0.0
    run = len(layer.q) // len(layer.k)
    assert layer.out is not None and layer.out_rows is not None
    for head, rows in enumerate(layer.out_rows):
        scores = layer.q[head, rows] @ layer.k[head // run].T * np.float32(layer.scale)
        if layer.bias is not None:
            scores += layer.bias[head if len(layer.bias) > 1 else 0, rows]
        scores = np.where(seen[rows], scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        rebuilt = weights @ layer.v[head // run] / weights.sum(axis=1, keepdims=True)
        difference += float(np.square(rebuilt - layer.out[head]).sum())
        reference += float(np.square(layer.out[head]).sum())
    return math.sqrt(difference / reference) if reference else math.sqrt(difference)


def tolerance(eps: float) -> float:
    """The rel. L2 above which a captured layer is not what the model computed, by the machine epsilon it did so to."""
    return LOW_PRECISION_TOLERANCE if eps > 2**-20 else TOLERANCE
