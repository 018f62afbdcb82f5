"""A head group becomes tiles: select its masks, plan them, and let each unit's rule say how long each tile takes.

A head group are the query heads that are computed side by side, one a lane; a single head unless lanes are split over
heads. Masks are those of whole heads; plans and what follows from them are made for a run of tiles at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np

from dsasim.dataflows.base import dataflow_of
from dsasim.dataflows.plan import Plan
from dsasim.designs.dsa import mask_generator, scheduler, softmax_unit
from dsasim.designs.dsa.context import Context, KVHeads
from dsasim.designs.dsa.events import Groups, tile_sums
from dsasim.designs.dsa.products import products
from dsasim.designs.dsa.shape import LayerShape
from dsasim.designs.dsa.tile import Tile
from dsasim.designs.dsa.work import Work
from dsasim.masks import KeepMask, Selection
from dsasim.selectors.base import selector_of
from dsasim.sim.design import HeadRecord
from dsasim.trace.cache import Codec

IN_MEMORY = Codec[Plan](Plan._asdict)
ON_DISK = Codec[Plan](Plan._asdict, lambda arrays: Plan(**arrays))
READ_FROM_NNZ = 1 << 13
"""Kept keys from which a reordered plan is kept on disk.

Measured, making and reading in ms of processor time (density 0.1; T = 4, then 8): 128 tokens 0.02 and 0.04, 0.02 and
0.04; 512 tokens 0.12 and 0.12, 0.43 and 0.08; 4096 tokens 6.2 and 7.6, 27 and 4.4. One in order takes 0.06 and 0.15 at
512 tokens, 4.4 and 10 at 4096: it is made again sooner than read, and kept in memory only.
"""


def head_group_tiles(
    context: Context, kv: KVHeads, heads: Sequence[HeadRecord], masks: Sequence[Selection]
) -> Iterator[Tile]:
    """The tiles of a head group in order; heads are told the loads and steps of their plans."""
    for shape in context.shape.runs():
        rows = shape.first_row, len(shape.row_spans)
        yield from _Run(context, shape, kv, heads, masks, [mask.block(*rows) for mask in masks]).tiles()


@dataclass(frozen=True)
class _Run:
    """Some tiles of a head group that are planned together: its masks, and the rows of them that the tiles have."""

    context: Context
    shape: LayerShape
    kv: KVHeads
    heads: Sequence[HeadRecord]
    masks: Sequence[Selection]
    rows: Sequence[Selection]

    def tiles(self) -> Iterator[Tile]:
        """What each unit takes, for all tiles; then a tile at a time. A head's groups stand `width` places apart."""
        arch, shape, plan = self.context.arch, self.shape, self._plan()
        loads, steps, width = plan.group_loads(), np.diff(plan.step_ptr), shape.interleaving.width
        for place, head in enumerate(self.heads):
            head.k_loads += int(loads[place::width].sum())
            head.plan_steps += int(steps[place::width].sum())
        planning, plan_bytes = self._planning(plan)
        sddmm, spmm = products(self.context, shape, self.kv.numbers, len(self.heads), plan, plan_bytes)
        counts = shape.interleaving.rows([mask.keep.row_counts for mask in self.rows])
        kept = tile_sums(counts, shape.tile_rows)
        softmax = softmax_unit.tile_jobs(arch.softmax, counts, shape.tile_rows, arch.pe_array.bits // 8)
        selecting = self._selecting()
        for at, (rows, scores) in enumerate(zip(shape.tiles, kept, strict=True)):
            number, blocks = rows[0] * width // shape.tile_rows, {"k": sddmm[at], "v": spmm[at]}
            works = selecting[at], planning[at], blocks, softmax[at]
            yield Tile(self.context, self.kv, self.heads, number, rows, scores, *works)

    def _plan(self) -> Plan:
        """Of all rows; cached where the layer has a memory, for equal masks planned alike."""
        arch, layer, shape = self.context.arch, self.context.layer, self.shape
        dataflow, places = dataflow_of(arch), [self.kv.numbers.index(layer.kv_head(head.head)) for head in self.heads]

        def planned() -> Plan:
            keep = shape.interleaving.keep([mask.keep.block(0, len(shape.row_spans)) for mask in self.rows], places)
            return dataflow.plan(arch, keep, shape.interleaving.group_rows)

        wholes = [mask.keep for mask in self.masks if isinstance(mask.keep, KeepMask)]
        if layer.cache is None or len(wholes) < len(self.masks):
            return planned()
        order = dataflow.planned_alike(arch)
        run = (shape.first_row, len(shape.row_spans), shape.interleaving, order)
        form = ON_DISK if order == "reordered" and sum(keep.nnz for keep in wholes) >= READ_FROM_NNZ else IN_MEMORY
        return layer.cache.get_or_compute(("plan", *(keep.digest for keep in wholes), *places, *run), planned, form)

    @property
    def _groups(self) -> Groups:
        """The groups of the head group, those of heads it lacks empty."""
        lay, own, count = self.shape.interleaving.groups, self.shape.groups, len(self.heads)
        return Groups(lay([own.rows] * count), lay([own.spans] * count))

    def _planning(self, plan: Plan) -> tuple[Sequence[Work | None], Sequence[int]]:
        """The scheduler's work and the bytes of the plan of each tile; a dense machine needs no plan."""
        arch, shape = self.context.arch, self.shape
        if arch.predictor.keeps_all:
            return [None] * len(shape.tiles), [0] * len(shape.tiles)
        step_rows = dataflow_of(arch).step_rows(arch)
        return scheduler.tile_jobs(
            arch.scheduler, plan, self._groups, shape.groups_per_tile, self.context.layer.L_k, step_rows
        )

    def _selecting(self) -> Sequence[Work | None]:
        """The mask generator's work for each tile."""
        config, work, shape = self.context.arch.mask_generator, self.context.predictor.work, self.shape
        if work is None or config is None:
            return [None] * len(shape.tiles)
        taken = [shape.interleaving.rows(each) for each in list(zip(*self.rows, strict=True))[1:]]
        return mask_generator.tile_jobs(
            Selection(self.rows[0].keep, *taken),
            shape.tile_rows,
            self._groups,
            shape.groups_per_tile,
            self._scores(work.storage.score_block),
            work.storage.score_bytes,
            self.context.layer.L_k,
            config.num_selectors,
            selector_of(config, work.storage.score_block).block_rows,
        )

    def _scores(self, block: tuple[int, int]) -> Sequence[int]:
        """Scores that each tile is selected from: of each group up to its span, or of each `block` of rows and keys."""
        shape = self.shape
        together = lcm(shape.interleaving.group_rows, block[0]) // shape.interleaving.group_rows
        scores = shape.groups.scores(*block, together)
        return tile_sums(shape.interleaving.groups([scores] * len(self.heads)), shape.groups_per_tile // together)
