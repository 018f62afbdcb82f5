"""A layer's rows as the machine sees them: tiles, groups, and how far along the keys each may look."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import lcm

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.designs.dsa.events import Groups
from dsasim.designs.dsa.interleave import Interleaving
from dsasim.designs.dsa.scheduler import mask_row_bytes
from dsasim.designs.dsa.tiling import Footprint, Residency, Tiling, fit_tile_rows, residency, smallest_tile
from dsasim.methods.operation import Prediction
from dsasim.prediction import method_of
from dsasim.selectors.base import selector_of
from dsasim.trace.attention import LayerTrace

BUFFERS = ("q", "k", "v", "predictor", "mask", "score", "output")
"""In the order of the data's path."""

UNUSED_SLOTS = 2
"""Mask slots of a dense machine, which puts nothing into them: enough not to hold the array back."""

RUN_POSITIONS = 1 << 22
"""Positions planned at a time: 4 M, whose plan takes 60 MB at most."""


@dataclass(frozen=True)
class LayerShape:
    """Tiles and groups of a layer, the same for all its head groups.

    A tile of `tile_rows` rows holds `tile_rows / interleaving.width` rows of each head of a head group.
    """

    tiling: Tiling
    interleaving: Interleaving
    row_spans: NDArray[np.int64]  # [L_q]: keys from 0 that the row may attend to
    groups: Groups
    """Positions that may be kept."""
    slots: Mapping[str, int]
    """Slots of each buffer; those of `predictor` hold X, weights, query rows and S~ alike."""
    k: Residency
    v: Residency
    first_row: int = 0
    """Of a run of tiles: the head's row that it begins with."""

    @property
    def tiles_ahead(self) -> int:
        """Tiles whose SDDMM may come before the SpMM of the one before them: a second one where slots allow it."""
        return int(self.slots["score"] >= 2 and self.slots["mask"] >= 2)

    @property
    def tile_rows(self) -> int:
        """Rows of a full tile."""
        return self.tiling.rows

    @property
    def groups_per_tile(self) -> int:
        """Groups of a full tile."""
        return self.tile_rows // self.interleaving.group_rows

    @property
    def tiles(self) -> list[tuple[int, int, int]]:
        """(first row, rows, span) of each tile's share of a head."""
        rows = self.tile_rows // self.interleaving.width
        starts = range(0, len(self.row_spans), rows)
        spans = [self.row_spans[start : start + rows] for start in starts]
        return [(self.first_row + start, len(span), int(span.max())) for start, span in zip(starts, spans, strict=True)]

    def runs(self) -> Iterator["LayerShape"]:
        """The layer's tiles in runs of at most RUN_POSITIONS positions, or of one tile."""
        rows = self.tile_rows // self.interleaving.width
        longest = max(1, int(self.row_spans.max()))
        step = max(1, RUN_POSITIONS // (longest * self.tile_rows)) * rows
        per_group = self.interleaving.group_rows
        for first in range(0, len(self.row_spans), step):
            groups = slice(first // per_group, -(-(first + step) // per_group))
            yield replace(
                self,
                first_row=first,
                row_spans=self.row_spans[first : first + step],
                groups=Groups(self.groups.rows[groups], self.groups.spans[groups]),
            )


def layer_shape(arch: ArchConfig, layer: LayerTrace, work: Prediction | None, kv_heads_together: int) -> LayerShape:
    """Cut a layer into tiles and groups that fit the design's buffers; ConfigError if they cannot.

    `kv_heads_together`: kv heads that a head group needs on chip at a time.
    """
    group_rows = arch.scheduler.token_parallelism
    starts = np.arange(0, layer.L_q, group_rows)
    rows = np.minimum(group_rows, layer.L_q - starts).astype(np.int64)
    vector_bytes = layer.d_head * arch.pe_array.bits // 8
    held_bytes = kv_heads_together * layer.L_k * vector_bytes
    k, v = (residency(arch, name, held_bytes, vector_bytes) for name in ("k", "v"))
    needs = _footprints(arch, layer, work, kv_heads_together)
    known = {"predictor": 1, "mask": UNUSED_SLOTS, "k": k.slots, "v": v.slots}
    known |= {need.buffer: need.slots for need in needs}
    return LayerShape(
        tiling=fit_tile_rows(arch, needs, _rows_together(arch, work)),
        interleaving=Interleaving(arch.pe_array.lanes if arch.pe_array.lane_split == "heads" else 1, group_rows),
        row_spans=layer.row_spans,
        groups=Groups(rows, np.maximum.reduceat(layer.row_spans, starts)),
        slots={name: known[name] for name in BUFFERS},
        k=k,
        v=v,
    )


def _rows_together(arch: ArchConfig, work: Prediction | None) -> int:
    """Rows that a tile may not cut apart: those of a score, and those that are selected together."""
    if work is None:
        return 1
    block = work.storage.score_block
    selected = 1 if arch.mask_generator is None else selector_of(arch.mask_generator, block).block_rows
    return lcm(block[0], selected)


def _most_kept(arch: ArchConfig, allowed: int, num_keys: int) -> int:
    """Keys that any row can keep: what its selector says, all it may attend to (at most `allowed`) without one.

    Worked example: top-k at density 0.1 of 512 keys keeps at most 52.
    """
    generator = arch.mask_generator
    if generator is None or not method_of(arch).scored:
        return allowed
    return selector_of(generator).most_kept(allowed, num_keys)


def _footprints(
    arch: ArchConfig, layer: LayerTrace, work: Prediction | None, kv_heads_together: int
) -> list[Footprint]:
    """What each buffer must hold for a tile of the layer."""
    element, buffers = arch.pe_array.bits // 8, arch.buffers
    most_kept = _most_kept(arch, int(layer.allowed_counts.max()), layer.L_k)
    score_bytes = most_kept * element
    score_slots = _slots(buffers.score, buffers.score.bytes, smallest_tile(arch) * score_bytes)
    needs = [
        Footprint("q", "queries", buffers.q.slots, layer.d_head * element),
        Footprint("score", "scores", score_slots, 0, score_bytes),
        Footprint("output", "outputs", buffers.output.slots, layer.d_head * element),
    ]
    if not arch.predictor.keeps_all:
        assert buffers.mask is not None
        row_bytes = mask_row_bytes(arch.scheduler, layer.L_k, most_kept)
        needs.append(Footprint("mask", "mask bits and the plan over them", buffers.mask.slots, row_bytes))
    if work is not None:
        needs.append(_predictor_footprint(arch, layer, work, kv_heads_together))
    return needs


def _predictor_footprint(arch: ArchConfig, layer: LayerTrace, work: Prediction, kv_heads_together: int) -> Footprint:
    """What the method makes and keeps stays in the predictor buffer (P, XP, K~, weights); X, Q~ and S~ pass through."""
    buffer, needs = arch.buffers.predictor, work.storage
    assert buffer is not None
    weights = kv_heads_together * needs.weight_bits
    kept_bits = needs.constant_bits + needs.made_bits + kv_heads_together * needs.key_bits
    resident = -(-(kept_bits + buffer.slots * weights) // 8)
    score_bytes = -(-needs.scores(1, layer.L_k) * needs.score_bytes // needs.score_block[0])
    least = smallest_tile(arch, _rows_together(arch, work)) * (needs.row_bytes + score_bytes)
    slots = _slots(buffer, buffer.bytes - resident, least)
    return Footprint("predictor", "projected inputs, weights and Q~", slots, needs.row_bytes, score_bytes, resident)


def _slots(buffer: BufferConfig, space: int, slot_bytes: int) -> int:
    """Slots of at least `slot_bytes` in `space` bytes, up to the buffer's own number; one if they must be smaller."""
    return min(buffer.slots, max(1, space // slot_bytes))
