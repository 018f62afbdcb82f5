"""From a trace to work for the units: predict, plan, and let each unit's rule say how long each tile takes.

One head's tensors, mask and plan are alive at a time; what stays is a few integers a tile.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dsasim.config.schema import ArchConfig
from dsasim.dataflow import systolic, token_parallel
from dsasim.dataflow.plan import Plan, make_plan
from dsasim.dataflow.work import ArrayWork
from dsasim.errors import TraceError
from dsasim.kernels.schedule import schedule_tiles
from dsasim.model import mask_generator, predictor, softmax_unit
from dsasim.model.dram import Transfer
from dsasim.model.work import ArrayJob, HeadWork, Job, KVHeadWork, LayerWork, TileWork
from dsasim.predictors import load_predictor
from dsasim.predictors.base import KeepMask, LayerPredictor, PredictionWork, Selection
from dsasim.sim import counters
from dsasim.sim.placement import Placement, place_layer
from dsasim.sim.shape import LayerShape, layer_shape
from dsasim.trace.attention import LayerTrace

Observer = Callable[[LayerTrace, int, KeepMask], None]
"""Told each head's keep mask as it is made: (layer, query head, mask)."""


@dataclass(frozen=True)
class _Context:
    """What all heads of a layer share while its work is built."""

    arch: ArchConfig
    layer: LayerTrace
    predictor: LayerPredictor
    shape: LayerShape
    placement: Placement
    counters: Counter[str]
    observe: Observer | None


def build_layer(arch: ArchConfig, layer: LayerTrace, heads: Sequence[int], observe: Observer | None) -> LayerWork:
    """The work of `heads` of a layer, grouped by kv head, both ascending.

    ConfigError if the design cannot hold it, TraceError if nothing may be attended to.
    """
    by_kv_head: dict[int, list[int]] = defaultdict(list)
    for head in sorted(heads):
        by_kv_head[layer.kv_head(head)].append(head)
    chosen = load_predictor(arch, layer)
    allowed = layer.allowed()
    if not allowed.any():
        raise TraceError(f"layer {layer.number} of the trace allows no query to attend to any key")
    shape = layer_shape(arch, layer, chosen.work, allowed)
    counts: Counter[str] = Counter(dict.fromkeys(counters.COUNTERS, 0))
    context = _Context(arch, layer, chosen, shape, place_layer(arch, layer, chosen.work), counts, observe)
    reads, projections = ((), ()) if chosen.work is None else _projections(context, chosen.work)
    projection_read = _projection_read(context.placement)
    counts["predictor_buffer_write_bytes"] += projection_read.num_bytes if projection_read else 0
    return LayerWork(
        layer=layer.number,
        tile_rows=shape.tile_rows,
        slots=shape.slots,
        kv_heads=tuple(_kv_head(context, kv_head, sharing) for kv_head, sharing in by_kv_head.items()),
        projection_read=projection_read,
        input_reads=reads,
        projections=projections,
        counters=counts,
    )


def _projection_read(placement: Placement) -> Transfer | None:
    return None if placement.predictor is None else placement.predictor.projection.transfer(0, 0, 1)


def _projections(context: _Context, work: PredictionWork) -> tuple[tuple[Transfer, ...], tuple[Job, ...]]:
    """XP, a tile of input rows at a time."""
    arch, buffer = context.arch, context.arch.buffers.predictor
    assert buffer is not None and context.placement.predictor is not None
    reads, jobs = [], []
    for region in context.placement.predictor.inputs:
        for first in range(0, region.rows, context.shape.tile_rows):
            rows = min(context.shape.tile_rows, region.rows - first)
            reads.append(region.transfer(0, first, rows))
            jobs.append(predictor.projection_job(arch.predictor, buffer, work, rows))
            context.counters.update(counters.projection_counters(arch, work, rows))
    return tuple(reads), tuple(jobs)


def _kv_head(context: _Context, kv_head: int, heads: Sequence[int]) -> KVHeadWork:
    arch, layer, placement = context.arch, context.layer, context.placement
    work, buffer = context.predictor.work, arch.buffers.predictor
    weights, keys = None, None
    if work is not None and buffer is not None and placement.predictor is not None:
        weights = placement.predictor.weights.transfer(kv_head, 0, 1)
        keys = predictor.key_job(arch.predictor, buffer, work, layer.L_k)
        context.counters.update(counters.key_counters(arch, work, layer.L_k))
        context.counters["predictor_buffer_write_bytes"] += weights.num_bytes
    context.counters.update(counters.kv_counters(arch, layer))
    return KVHeadWork(
        kv_head=kv_head,
        heads=tuple(_head(context, head) for head in heads),
        k_read=placement.k.transfer(kv_head, 0, layer.L_k),
        v_read=placement.v.transfer(kv_head, 0, layer.L_k),
        weights_read=weights,
        key_prediction=keys,
    )


def _head(context: _Context, head: int) -> HeadWork:
    """Select, plan and time one query head."""
    arch, layer, shape = context.arch, context.layer, context.shape
    selection = context.predictor.select(head)
    keep = selection.keep
    if context.observe is not None:
        context.observe(layer, head, keep)
    plan = make_plan(keep, arch.scheduler.order, shape.group_rows)
    sddmm, spmm = _array_works(context, plan)
    counts = counters.attention_counters(arch, layer, keep.nnz, sddmm.vector_reads, spmm.vector_reads)
    context.counters.update(counts)
    context.counters.update(counters.systolic_counters(arch, sddmm, spmm))
    if arch.predictor.method != "dense":
        context.counters.update(counters.plan_counters(arch, plan, shape.groups))
    return HeadWork(
        head=head,
        tiles=_tiles(context, head, selection, plan, sddmm, spmm),
        nnz=int(np.bitwise_count(plan.load_rows).sum()),
        allowed=shape.allowed,
        k_loads=plan.k_loads,
        plan_steps=plan.plan_steps,
    )


def _array_works(context: _Context, plan: Plan) -> tuple[ArrayWork, ArrayWork]:
    """SDDMM and SpMM of one head under the design's dataflow."""
    arch, layer, shape = context.arch, context.layer, context.shape
    if arch.pe_array.dataflow == "systolic":
        return (
            systolic.score_work(arch, shape.row_spans, shape.tile_rows, layer.d_head),
            systolic.output_work(arch, shape.row_spans, shape.tile_rows, layer.d_head),
        )
    return (
        token_parallel.array_work(arch, plan, shape.groups_per_tile, layer.d_head, arch.buffers.k),
        token_parallel.array_work(arch, plan, shape.groups_per_tile, layer.d_head, arch.buffers.v),
    )


def _tiles(
    context: _Context, head: int, selection: Selection, plan: Plan, sddmm: ArrayWork, spmm: ArrayWork
) -> tuple[TileWork, ...]:
    arch, shape, placement = context.arch, context.shape, context.placement
    scheduling = _scheduling(context, plan)
    predictions = _predictions(context)
    selecting = _mask_generations(context, selection)
    counts = selection.keep.row_counts
    return tuple(
        TileWork(
            name=f"layer {context.layer.number} head {head} tile {at}",
            q_read=placement.q.transfer(head, first, rows),
            prediction=predictions[at],
            mask_generation=selecting[at],
            scheduling=scheduling[at],
            sddmm=_array_job(sddmm, at),
            softmax=softmax_unit.tile_job(arch.softmax, counts[first : first + rows]),
            spmm=_array_job(spmm, at),
            output_write=placement.output.transfer(head, first, rows, is_write=True),
        )
        for at, (first, rows, _) in enumerate(shape.tiles)
    )


def _array_job(work: ArrayWork, tile: int) -> ArrayJob:
    busy, conflict = work.busy_cycles[tile].tolist(), work.conflict_cycles[tile].tolist()
    return ArrayJob(int(work.cycles[tile]), tuple(busy), tuple(conflict))


def _scheduling(context: _Context, plan: Plan) -> Sequence[Job | None]:
    """The scheduler's jobs; a dense machine needs no plan."""
    config, shape = context.arch.scheduler, context.shape
    if context.arch.predictor.method == "dense":
        return [None] * len(shape.tiles)
    cycles = schedule_tiles(
        shape.groups.spans,
        plan.group_loads(),
        shape.groups_per_tile,
        config.num_schedulers,
        config.keys_classified_per_cycle,
    )
    return [Job(at) for at in cycles.tolist()]


def _predictions(context: _Context) -> Sequence[Job | None]:
    """The predictor's jobs of one head."""
    arch, buffer, work = context.arch, context.arch.buffers.predictor, context.predictor.work
    if work is None or buffer is None:
        return [None] * len(context.shape.tiles)
    jobs = []
    for _, rows, span in context.shape.tiles:
        jobs.append(predictor.tile_job(arch.predictor, buffer, work, rows, span))
        context.counters.update(counters.tile_counters(arch, work, rows, span))
    return jobs


def _mask_generations(context: _Context, selection: Selection) -> Sequence[Job | None]:
    """The mask generator's jobs of one head."""
    config, work, shape = context.arch.mask_generator, context.predictor.work, context.shape
    if work is None or config is None:
        return [None] * len(shape.tiles)
    context.counters.update(
        counters.selection_counters(selection.comparisons, shape.groups, predictor.score_bytes(work))
    )
    return [
        mask_generator.tile_job(selection.row_cycles[first : first + rows], config.num_selectors)
        for first, rows, _ in shape.tiles
    ]
