"""How much the masks of one head overlap between two inputs: are the patterns dynamic, or could they be fixed?

IoU of a head = |A and B| / |A or B| over its kept positions (query row, key): 1 for the same mask, 0 for disjoint
ones (and where nothing is kept). Beside it what chance gives: two independent random masks with these row counts share
a_i b_i / n_i keys of the n_i allowed ones of row i, on average. Worked example: rows of 10 keys that keep 1: chance is
0.1 / 1.9 = 0.053.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dsasim.config.schema import ArchConfig
from dsasim.errors import TraceError
from dsasim.predictors import LayerPredictor, load_predictor
from dsasim.predictors.base import Int64, Mask
from dsasim.trace.attention import AttentionTrace, LayerTrace
from dsasim.trace.schema import layer_label

COMMON = ("num_heads", "L_q", "L_k", "causal")
"""What two layers have in common if their masks are to be compared position by position."""


@dataclass(frozen=True)
class HeadOverlap:
    """One head's masks in both traces: their overlap, what chance gives, and their densities (kept / allowed)."""

    head: int
    iou_ratio: float
    chance_iou_ratio: float
    density_a: float
    density_b: float


@dataclass(frozen=True)
class LayerOverlap:
    """The heads of one layer; of one sequence of each trace, where there are several."""

    layer: int
    heads: tuple[HeadOverlap, ...]
    sequence: int | None = None

    @property
    def label(self) -> str:
        """What follows the word layer."""
        return layer_label(self.layer, self.sequence)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values; `sequence` only where there are several."""
        values = asdict(self)
        if self.sequence is None:
            del values["sequence"]
        return values

    def mean(self, figure: str) -> float:
        """The mean of a figure of HeadOverlap over the heads."""
        return float(np.mean([getattr(head, figure) for head in self.heads]))


def compare_masks(
    a: AttentionTrace,
    b: AttentionTrace,
    arch: ArchConfig,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[LayerOverlap, ...]:
    """The overlap of every head of the layers that both traces hold; each trace's masks are those of the design on it.

    Sequence s of one trace is compared with sequence s of the other, as far as both have them.

    TraceError: no layer in common, or one of another shape. ConfigError: a design that cannot make masks of a trace.
    """
    pairs = [(layer, b.layers[layer.key]) for layer in a if layer.key in b.layers]
    if not pairs:
        raise TraceError(f"{a.meta.name} and {b.meta.name} have no layer in common")
    for layer, other in pairs:
        _check_shape((a.meta.name, layer), (b.meta.name, other))
    total, overlaps = sum(layer.num_heads for layer, _ in pairs), list[LayerOverlap]()
    done = 0
    for layers in pairs:
        chosen = (load_predictor(arch, layers[0]), load_predictor(arch, layers[1]))
        heads = []
        for head in range(layers[0].num_heads):
            heads.append(_head_overlap(head, layers, chosen))
            done += 1
            if progress is not None:
                progress(done, total)
        sequence = layers[0].sequence if any(layer.of_several for layer in layers) else None
        overlaps.append(LayerOverlap(layers[0].number, tuple(heads), sequence))
    return tuple(overlaps)


def _head_overlap(
    head: int, layers: tuple[LayerTrace, LayerTrace], chosen: tuple[LayerPredictor, LayerPredictor]
) -> HeadOverlap:
    keep_a, keep_b = (predictor.select(head).keep for predictor in chosen)
    allowed = [layer.allowed_counts for layer in layers]
    counts_a, counts_b = keep_a.row_counts, keep_b.row_counts
    shared = _num_shared(keep_a, keep_b, layers[0])
    both = int(counts_a.sum() + counts_b.sum())
    by_chance = float(np.sum(counts_a * counts_b / np.maximum(np.maximum(*allowed), 1)))
    return HeadOverlap(
        head=head,
        iou_ratio=shared / max(both - shared, 1),
        chance_iou_ratio=by_chance / max(both - by_chance, 1),
        density_a=float(counts_a.sum() / max(allowed[0].sum(), 1)),
        density_b=float(counts_b.sum() / max(allowed[1].sum(), 1)),
    )


def _num_shared(a: Mask, b: Mask, layer: LayerTrace) -> int:
    """Positions that both keep, a block of rows at a time."""
    shared = 0
    for block in layer.row_blocks():
        in_a, in_b = (_kept(mask, block.first, block.num_rows) for mask in (a, b))
        shared += len(np.intersect1d(in_a, in_b, assume_unique=True))
    return shared


def _kept(mask: Mask, first: int, num_rows: int) -> Int64:
    """Row x L_k + key of each kept position of a block."""
    block = mask.block(first, num_rows)
    positions: Int64 = block.rows * mask.num_keys + block.indices
    return positions


def _check_shape(a: tuple[str, LayerTrace], b: tuple[str, LayerTrace]) -> None:
    """TraceError where the layers of two named traces differ in what masks have in common."""
    for name in COMMON:
        ours, theirs = (getattr(layer, name) for _, layer in (a, b))
        if ours != theirs:
            raise TraceError(
                f"layer {a[1].label} has {name} {ours} in {a[0]} and {theirs} in {b[0]}: "
                "masks are compared position by position"
            )
