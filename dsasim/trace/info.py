"""What a trace holds: shapes, provenance, and how few keys carry its attention."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from dsasim.trace.attention import AttentionTrace, Float32, LayerTrace, TraceMeta
from dsasim.trace.packing import Bool
from dsasim.trace.positions import RowBlock
from dsasim.trace.scores import exact_scorer
from dsasim.trace.store import verify_digest

MASSES = (0.90, 0.95, 0.99)
"""Shares of the softmax mass at which the natural density is reported."""


@dataclass(frozen=True)
class LayerInfo:
    """One layer on one sequence: shape, `natural_density` (mass -> share of keys), `mask_density` (kept share)."""

    number: int
    label: str
    """What follows the word layer: its number, and of several sequences which."""
    num_heads: int
    num_kv_heads: int
    L_q: int
    L_k: int
    d_head: int
    d_model: int
    causal: bool
    self_attention: bool
    sigmas: tuple[Decimal, ...]
    natural_density: Mapping[float, float] | None
    mask_density: float | None


@dataclass(frozen=True)
class TraceInfo:
    """A whole trace; densities are the means over its layers on all sequences, None where it has no such tensors."""

    meta: TraceMeta
    layers: tuple[LayerInfo, ...]
    natural_density: Mapping[float, float] | None
    mask_density: float | None


def trace_info(trace: AttentionTrace) -> TraceInfo:
    """Read the whole trace and describe it; TraceError when its content is not what its sha256 says."""
    verify_digest(trace)
    layers = tuple(_layer_info(layer) for layer in trace)
    natural = [layer.natural_density for layer in layers if layer.natural_density is not None]
    masks = [layer.mask_density for layer in layers if layer.mask_density is not None]
    return TraceInfo(
        meta=trace.meta,
        layers=layers,
        natural_density={mass: float(np.mean([of[mass] for of in natural])) for mass in MASSES} if natural else None,
        mask_density=float(np.mean(masks)) if masks else None,
    )


def natural_density(layer: LayerTrace) -> Mapping[float, float]:
    """For each mass, the share of a row's allowed keys that hold it, largest first: the mean over rows and heads.

    Rows without an allowed key are left out. Weights .6 .3 .1 over three keys hold 0.9 of the mass in two: 2/3.
    """
    shares = np.concatenate([_head_shares(layer, head) for head in range(layer.num_heads)])
    return dict(zip(MASSES, (float(share) for share in np.mean(shares, axis=0)), strict=True))


def mask_density(layer: LayerTrace) -> float | None:
    """Kept share of the allowed positions under the stored keep mask, over all heads; None without one."""
    masks = (layer.given_bits(head) for head in range(layer.num_heads))
    kept = [int(np.bitwise_count(mask).sum(dtype=np.int64)) for mask in masks if mask is not None]
    positions = int(layer.allowed_counts.sum()) * len(kept)
    return sum(kept) / positions if positions else None


def trace_mask_density(trace: AttentionTrace) -> float:
    """The same over all layers that have masks; 0 without any."""
    masks = [density for layer in trace if (density := mask_density(layer)) is not None]
    return float(np.mean(masks)) if masks else 0.0


def _layer_info(layer: LayerTrace) -> LayerInfo:
    return LayerInfo(
        number=layer.number,
        label=layer.label,
        num_heads=layer.num_heads,
        num_kv_heads=layer.num_kv_heads,
        L_q=layer.L_q,
        L_k=layer.L_k,
        d_head=layer.d_head,
        d_model=layer.d_model,
        causal=layer.causal,
        self_attention=layer.self_attention,
        sigmas=layer.sigmas,
        natural_density=natural_density(layer) if layer.has_qkv else None,
        mask_density=mask_density(layer),
    )


def _head_shares(layer: LayerTrace, head: int) -> NDArray[np.float64]:
    """The share of its keys that each row with an allowed one needs for each of MASSES: [rows, masses]."""
    score = exact_scorer(layer, head)
    return np.concatenate([_block_shares(layer, block, score(block)) for block in layer.row_blocks()])


def _block_shares(layer: LayerTrace, block: RowBlock, scores: Float32) -> NDArray[np.float64]:
    """The same for one block of rows."""
    num_allowed = layer.allowed_counts[block.rows, None]
    weights = np.sort(_softmax_numerators(scores, layer.allowed(*block)), axis=1)
    smallest_sums = np.cumsum(weights, axis=1, dtype=np.float32)
    total = smallest_sums[:, -1:]
    # The smallest weights are dropped as long as the mass is left; forbidden keys weigh nothing and go first.
    dropped = [np.count_nonzero(smallest_sums <= np.float32(1 - mass) * total, axis=1) for mass in MASSES]
    needed = block.num_keys - np.stack(dropped, axis=1)
    rows = num_allowed[:, 0] > 0
    return needed[rows] / num_allowed[rows]


def _softmax_numerators(scores: Float32, allowed: Bool) -> Float32:
    """exp(score - row maximum) [num_rows, num_keys], zero where a key is not allowed; overwrites the scores."""
    scores[~allowed] = -np.inf
    top = scores.max(axis=1, keepdims=True)
    scores -= np.where(np.isfinite(top), top, np.float32(0))
    np.exp(scores, out=scores)
    return scores
