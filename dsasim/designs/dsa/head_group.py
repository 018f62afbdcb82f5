"""One bundle of query heads: select its masks, plan them, and let each unit's rule say how long each tile takes.

Masks are those of whole heads; plans and what follows from them are made for a run of tiles at a time.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsasim.dataflow.base import dataflow_of
from dsasim.dataflow.plan import Plan
from dsasim.designs.dsa import mask_generator, predictor, scheduler, softmax_unit
from dsasim.designs.dsa.context import Context
from dsasim.designs.dsa.events import Groups, tile_sums
from dsasim.designs.dsa.mask_generator import Selected
from dsasim.designs.dsa.products import products
from dsasim.designs.dsa.shape import LayerShape
from dsasim.designs.dsa.spill import spill_of
from dsasim.designs.dsa.work import Bundle, HeadCounts, Part, Spill, TileWork, Work
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import Region
from dsasim.predictors.base import SELECTION_ROWS, KeepMask, Mask, Selection
from dsasim.predictors.operation import Storage
from dsasim.predictors.selection import selector_of
from dsasim.sim.parts import place_of
from dsasim.trace.cache import Codec

IN_MEMORY = Codec[Plan](Plan._asdict)
ON_DISK = Codec[Plan](Plan._asdict, lambda arrays: Plan(**arrays))
READ_FROM_NNZ = 1 << 13
"""Kept keys from which a reordered plan is kept on disk.

Measured, making and reading in ms of processor time (density 0.1; T = 4, then 8): 128 tokens 0.02 and 0.04, 0.02 and
0.04; 512 tokens 0.12 and 0.12, 0.43 and 0.08; 4096 tokens 6.2 and 7.6, 27 and 4.4. One in order takes 0.06 and 0.15 at
512 tokens, 4.4 and 10 at 4096: it is made again sooner than read, and kept in memory only.
"""


class _Rows(NamedTuple):
    """The rows of one head in a run of tiles: their mask, what selecting it took; and the mask they are of."""

    keep: KeepMask
    selected: Selected
    whole: Mask


class _Counts(NamedTuple):
    """Loads and steps [groups] of a plan."""

    loads: NDArray[np.int64]
    steps: NDArray[np.int64]


def bundle_work(context: Context, kv_heads: Sequence[int], heads: Sequence[int]) -> Bundle:
    """Select, plan and time the query heads `heads`, whose K and V are those of `kv_heads`."""
    selections = [_select(context, head) for head in heads]
    tiles: list[TileWork] = []
    runs = []
    for run in context.shape.runs():
        rows = [_rows_of(selection, run) for selection in selections]
        counts, its_tiles = _run_work(replace(context, shape=run), kv_heads, heads, rows)
        runs.append(counts)
        tiles += its_tiles
    return Bundle(tuple(_head_counts(context, heads, selections, runs)), tuple(tiles))


def _select(context: Context, head: int) -> Selection:
    selection = context.predictor.select(head)
    if context.observe is not None:
        context.observe(context.layer, head, selection.keep)
    return selection


def _rows_of(selection: Selection, run: LayerShape) -> _Rows:
    rows = slice(run.first_row, run.first_row + len(run.row_spans))
    selected = Selected(*(getattr(selection, name)[rows] for name in SELECTION_ROWS))
    return _Rows(selection.keep.block(rows.start, len(run.row_spans)), selected, selection.keep)


def _run_work(
    context: Context, kv_heads: Sequence[int], heads: Sequence[int], rows: Sequence[_Rows]
) -> tuple[_Counts, tuple[TileWork, ...]]:
    """Plan and time a run of tiles; returns the loads and steps of its groups, and its tiles."""
    layer = context.layer
    places = [kv_heads.index(layer.kv_head(head)) for head in heads]
    plan = _plan(context, rows, places)
    scheduling, plan_bytes = _scheduling(context, plan, len(heads))
    sddmm, spmm = products(context, plan, kv_heads, len(heads), plan_bytes)
    counts = _Counts(plan.group_loads(), np.diff(plan.step_ptr))
    return counts, _tiles(context, heads, rows, scheduling, sddmm, spmm)


def _plan(context: Context, rows: Sequence[_Rows], places: Sequence[int]) -> Plan:
    """The plan of a run of tiles, recalled where the layer remembers the masks of equal heads planned alike."""
    shape, dataflow = context.shape, dataflow_of(context.arch)
    order = dataflow.planned_alike(context.arch)

    def planned() -> Plan:
        keep = shape.interleaving.keep([head.keep for head in rows], places)
        return dataflow.plan(context.arch, keep, shape.interleaving.group_rows)

    masks = [head.whole for head in rows if isinstance(head.whole, KeepMask)]
    if context.layer.cache is None or len(masks) < len(rows):
        return planned()
    run = (shape.first_row, len(shape.row_spans), shape.interleaving, order)
    form = ON_DISK if order == "reordered" and sum(keep.nnz for keep in masks) >= READ_FROM_NNZ else IN_MEMORY
    return context.layer.cache.get_or_compute(("plan", *(keep.digest for keep in masks), *places, *run), planned, form)


def _head_counts(
    context: Context, heads: Sequence[int], selections: Sequence[Selection], runs: Sequence[_Counts]
) -> list[HeadCounts]:
    """Each head's share of the plans: its groups stand `width` places apart."""
    width = context.shape.interleaving.width
    return [
        HeadCounts(
            head=head,
            nnz=selection.keep.nnz,
            allowed=context.shape.allowed,
            k_loads=sum(int(run.loads[place::width].sum()) for run in runs),
            plan_steps=sum(int(run.steps[place::width].sum()) for run in runs),
        )
        for place, (head, selection) in enumerate(zip(heads, selections, strict=True))
    ]


def _groups(shape: LayerShape, num_heads: int) -> Groups:
    """The groups of a bundle, those of heads it lacks empty."""
    lay = shape.interleaving.groups
    return Groups(lay([shape.groups.rows] * num_heads), lay([shape.groups.spans] * num_heads))


def _tiles(
    context: Context,
    heads: Sequence[int],
    rows: Sequence[_Rows],
    scheduling: Sequence[Work | None],
    sddmm: Sequence[Sequence[Part]],
    spmm: Sequence[Sequence[Part]],
) -> tuple[TileWork, ...]:
    arch, shape, placement = context.arch, context.shape, context.placement
    selecting = _mask_generations(context, rows)
    kept = shape.interleaving.rows([head.keep.row_counts for head in rows])
    work, element = context.predictor.work, arch.pe_array.bits // 8
    needs = Storage() if work is None else work.storage
    query_rows = None if placement.predictor is None else placement.predictor.query_rows
    per_head = shape.tile_rows // shape.interleaving.width
    place = place_of(context.layer)._replace(heads=tuple(heads))
    return tuple(
        TileWork(
            place=place._replace(tile=first // per_head),
            q_read=_read(placement.q, heads, first, count),
            prediction=_prediction(context, len(heads), count, span),
            mask_generation=selecting[at],
            scheduling=scheduling[at],
            sddmm=tuple(sddmm[at]),
            softmax=softmax_unit.tile_job(arch.softmax, _of_tile(shape, kept, at), element),
            spmm=tuple(spmm[at]),
            output_write=Transfer.joined(
                [placement.output.transfer(head, first, count, is_write=True) for head in heads]
            ),
            predicted_spill=_spill(
                context, "predictor", first // per_head, len(heads) * needs.scores(count, span) * needs.score_bytes
            ),
            score_spill=_spill(context, "score", first // per_head, int(_of_tile(shape, kept, at).sum()) * element),
            rows_read=None if query_rows is None else _read(query_rows, heads, first, count),
        )
        for at, (first, count, span) in enumerate(shape.tiles)
    )


def _read(region: Region, heads: Sequence[int], first: int, count: int) -> Transfer:
    """`count` rows of each head from `first`."""
    return Transfer.joined([region.transfer(head, first, count) for head in heads])


def _spill(context: Context, buffer: str, tile: int, score_bytes: int) -> Spill | None:
    """The scores of a tile beyond its slot, which bytes on their way pass through; None where slots are big enough."""
    spilled = context.shape.tiling.spilled.get(buffer)
    if spilled is None:
        return None
    slot = tile % getattr(context.shape.slots, buffer)
    return spill_of(context.placement.spills[buffer], slot, score_bytes, spilled.held_bytes)


def _of_tile(shape: LayerShape, rows: NDArray[np.int64], tile: int) -> NDArray[np.int64]:
    return rows[tile * shape.tile_rows : (tile + 1) * shape.tile_rows]


def _scheduling(context: Context, plan: Plan, num_heads: int) -> tuple[Sequence[Work | None], Sequence[int]]:
    """The scheduler's work and the bytes of the plan of each tile; a dense machine needs no plan."""
    shape = context.shape
    if context.arch.predictor.method == "dense":
        return [None] * len(shape.tiles), [0] * len(shape.tiles)
    groups = _groups(shape, num_heads)
    config, step_rows = context.arch.scheduler, dataflow_of(context.arch).step_rows(context.arch)
    return scheduler.tile_jobs(config, plan, groups, shape.groups_per_tile, context.layer.L_k, step_rows)


def _prediction(context: Context, num_heads: int, rows: int, span: int) -> Work | None:
    """The predictor's work for a tile: `rows` rows of each head, one head after the other."""
    arch, work = context.arch, context.predictor.work
    if work is None:
        return None
    return predictor.operations_work(arch, work.of("query_tile"), rows, span).times(num_heads)


def _mask_generations(context: Context, rows: Sequence[_Rows]) -> Sequence[Work | None]:
    """The mask generator's work for each tile of a head group."""
    config, work, shape = context.arch.mask_generator, context.predictor.work, context.shape
    if work is None or config is None:
        return [None] * len(shape.tiles)
    lay = shape.interleaving.rows
    selected = Selected(*(lay([getattr(head.selected, name) for head in rows]) for name in SELECTION_ROWS))
    return mask_generator.tile_jobs(
        selected,
        shape.tile_rows,
        _groups(shape, len(rows)),
        shape.groups_per_tile,
        _tile_scores(shape, len(rows), work.storage.score_block),
        work.storage.score_bytes,
        context.layer.L_k,
        config.num_selectors,
        selector_of(config, work.storage.score_block).block_rows,
    )


def _tile_scores(shape: LayerShape, num_heads: int, block: tuple[int, int]) -> Sequence[int]:
    """Scores that each tile is selected from: of each group up to its span, or of each `block` of rows and keys."""
    group_rows = shape.interleaving.group_rows
    together = lcm(group_rows, block[0]) // group_rows
    scores = shape.groups.scores(*block, together)
    return tile_sums(shape.interleaving.groups([scores] * num_heads), shape.groups_per_tile // together)
