"""A layer's rows as the machine sees them: tiles, groups, and how far along the keys each may look."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.tiling import Footprint, fit_tile_rows, resident_slots
from dsasim.model.predictor import INPUT_BITS, TERNARY_BITS, score_bytes
from dsasim.model.scheduler import mask_row_bytes
from dsasim.model.work import SlotCounts
from dsasim.predictors.base import PredictionWork
from dsasim.sim.counters import Groups
from dsasim.trace.attention import LayerTrace

UNUSED_SLOTS = 2
"""Mask slots of a dense machine, which puts nothing into them: enough not to hold the array back."""


@dataclass(frozen=True)
class LayerShape:
    """Tiles and groups of a layer, the same for all its heads."""

    tile_rows: int
    row_spans: NDArray[np.int64]  # [L_q]: keys from 0 that the row may attend to
    groups: Groups
    group_rows: int
    allowed: int
    """Positions that may be kept."""
    slots: SlotCounts

    @property
    def groups_per_tile(self) -> int:
        """Groups of a full tile."""
        return self.tile_rows // self.group_rows

    @property
    def tiles(self) -> list[tuple[int, int, int]]:
        """(first row, rows, span) of each tile."""
        starts = range(0, len(self.row_spans), self.tile_rows)
        spans = [self.row_spans[start : start + self.tile_rows] for start in starts]
        return [(start, len(span), int(span.max())) for start, span in zip(starts, spans, strict=True)]


def layer_shape(arch: ArchConfig, layer: LayerTrace, work: PredictionWork | None) -> LayerShape:
    """Cut a layer into tiles and groups that fit the design's buffers; ConfigError if they cannot."""
    group_rows = arch.scheduler.token_parallelism
    starts = np.arange(0, layer.L_q, group_rows)
    rows = np.minimum(group_rows, layer.L_q - starts).astype(np.int64)
    groups = Groups(rows, np.maximum.reduceat(layer.row_spans, starts))
    head_bytes = layer.L_k * layer.d_head * arch.pe_array.bits // 8
    buffers = arch.buffers
    slots = SlotCounts(
        q=buffers.q.slots,
        k=resident_slots(arch, "k", head_bytes, layer.L_k),
        v=resident_slots(arch, "v", head_bytes, layer.L_k),
        predictor=buffers.predictor.slots if buffers.predictor else 1,
        mask=buffers.mask.slots if buffers.mask and arch.predictor.method != "dense" else UNUSED_SLOTS,
        score=buffers.score.slots,
        output=buffers.output.slots,
    )
    tile_rows = fit_tile_rows(arch, _footprints(arch, layer, work, slots))
    return LayerShape(tile_rows, layer.row_spans, groups, group_rows, int(layer.allowed_counts.sum()), slots)


def _footprints(arch: ArchConfig, layer: LayerTrace, work: PredictionWork | None, slots: SlotCounts) -> list[Footprint]:
    """What each buffer must hold for a tile of the layer."""
    element = arch.pe_array.bits // 8
    needs = [
        Footprint("q", "queries", slots.q * layer.d_head * element),
        Footprint("score", "scores of rows that keep every key", slots.score * layer.L_k * element),
        Footprint("output", "outputs", slots.output * layer.d_head * element),
    ]
    if arch.predictor.method != "dense":
        row_bytes = mask_row_bytes(arch.scheduler, layer.L_k)
        needs.append(Footprint("mask", "mask bits and the plan over them", slots.mask * row_bytes))
    if work is not None:
        needs.append(_predictor_footprint(layer, work, slots.predictor))
    return needs


def _predictor_footprint(layer: LayerTrace, work: PredictionWork, slots: int) -> Footprint:
    """P, XP, K~ and the weights of a kv head stay in the predictor buffer; tiles of X, Q~ and S~ pass through it."""
    shared_by = layer.num_heads // layer.num_kv_heads
    input_rows = layer.L_k if layer.self_attention else layer.L_k + layer.L_q
    resident_bits = (
        work.d_model * work.k * TERNARY_BITS
        + input_rows * work.columns * work.bits
        + layer.L_k * work.rank * work.bits
        + slots * work.columns * work.rank * (shared_by + 1) * work.bits
    )
    row_bits = slots * (work.d_model * INPUT_BITS + 8 * layer.L_k * score_bytes(work)) + work.rank * work.bits
    return Footprint(
        "predictor", "projected inputs, weights and predicted scores", -(-row_bits // 8), -(-resident_bits // 8)
    )
