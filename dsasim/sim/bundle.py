"""One bundle of query heads: select its masks, plan them, and let each unit's rule say how long each tile takes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.dataflow import systolic, token_parallel
from dsasim.dataflow.plan import Plan, group_spills, make_plan
from dsasim.dataflow.residency import Parts, Pool, fetches, plan_parts
from dsasim.dataflow.work import ArrayWork
from dsasim.kernels.schedule import schedule_tiles
from dsasim.model import mask_generator, predictor, softmax_unit
from dsasim.model.dram import Transfer
from dsasim.model.memory_map import Region
from dsasim.model.spill import spill_of
from dsasim.model.work import ArrayJob, Bundle, Fetch, HeadCounts, Job, Part, Spill, TileWork
from dsasim.predictors.base import KeepMask, LayerPredictor, Selection
from dsasim.sim import counters
from dsasim.sim.placement import Placement
from dsasim.sim.shape import LayerShape
from dsasim.trace.attention import LayerTrace

Observer = Callable[[LayerTrace, int, KeepMask], None]
"""Told each head's keep mask as it is made: (layer, query head, mask)."""


@dataclass(frozen=True)
class Context:
    """What all heads of a layer share while its work is built."""

    arch: ArchConfig
    layer: LayerTrace
    predictor: LayerPredictor
    shape: LayerShape
    placement: Placement
    counters: Counter[str]
    observe: Observer | None


@dataclass
class Pools:
    """The pools of K and V vectors as the parts so far have left them; None where whole kv heads are kept."""

    k: Pool | None
    v: Pool | None

    @classmethod
    def empty(cls, shape: LayerShape) -> "Pools":
        """The pools at the start of a layer."""
        k, v = (None if kept.pool_vectors is None else Pool(kept.pool_vectors) for kept in (shape.k, shape.v))
        return cls(k, v)


def bundle_work(context: Context, kv_heads: Sequence[int], heads: Sequence[int], pools: Pools) -> Bundle:
    """Select, plan and time the query heads `heads`, whose K and V are those of `kv_heads`."""
    arch, layer, shape = context.arch, context.layer, context.shape
    selections = [_select(context, head) for head in heads]
    places = [kv_heads.index(layer.kv_head(head)) for head in heads]
    keep = shape.interleaving.keep([selection.keep for selection in selections], places)
    plan = make_plan(keep, arch.scheduler.order, shape.interleaving.group_rows)
    sddmm, spmm = (_product(context, plan, name, kv_heads, pools) for name in ("k", "v"))
    context.counters.update(counters.attention_counters(arch, layer, len(heads), keep.nnz, sddmm.work, spmm.work))
    if arch.predictor.method != "dense":
        context.counters.update(counters.plan_counters(arch, plan, _groups(shape, len(heads))))
    return Bundle(
        heads=tuple(_head_counts(context, heads, selections, plan)),
        tiles=_tiles(context, heads, selections, plan, sddmm.tiles, spmm.tiles),
    )


def _select(context: Context, head: int) -> Selection:
    selection = context.predictor.select(head)
    if context.observe is not None:
        context.observe(context.layer, head, selection.keep)
    return selection


def _head_counts(
    context: Context, heads: Sequence[int], selections: Sequence[Selection], plan: Plan
) -> list[HeadCounts]:
    """Each head's share of the plan: its groups stand `width` places apart."""
    width = context.shape.interleaving.width
    loads, steps = plan.group_loads(), np.diff(plan.step_ptr)
    return [
        HeadCounts(
            head=head,
            nnz=selection.keep.nnz,
            allowed=context.shape.allowed,
            k_loads=int(loads[place::width].sum()),
            plan_steps=int(steps[place::width].sum()),
        )
        for place, (head, selection) in enumerate(zip(heads, selections, strict=True))
    ]


def _groups(shape: LayerShape, num_heads: int) -> counters.Groups:
    """The groups of a bundle, those of heads it lacks empty."""
    lay = shape.interleaving.groups
    return counters.Groups(lay([shape.groups.rows] * num_heads), lay([shape.groups.spans] * num_heads))


@dataclass(frozen=True)
class _Product:
    """SDDMM or SpMM of a bundle: the parts of each tile, and what they take together."""

    tiles: list[list[Part]]
    work: ArrayWork


def _product(context: Context, plan: Plan, name: str, kv_heads: Sequence[int], pools: Pools) -> _Product:
    """SDDMM (`name` k) or SpMM (v) of a bundle; its fetches change the pool."""
    pool: Pool | None = getattr(pools, name)
    parts = None if pool is None else _parts(context, plan, pool.capacity)
    work = _array_work(context, plan, name, parts)
    jobs = _array_jobs(work)
    if parts is None or pool is None:
        return _Product([[Part(job)] for job in jobs], work)
    fetched, after = _fetches(context, name, kv_heads, pool, parts)
    setattr(pools, name, after)
    tiles: list[list[Part]] = [[] for _ in context.shape.tiles]
    for tile, job, fetch in zip(parts.tile.tolist(), jobs, fetched, strict=True):
        tiles[tile].append(Part(job, fetch))
    return _Product(tiles, work)


def _parts(context: Context, plan: Plan, capacity: int) -> Parts:
    """The parts of each tile whose keys fit a pool of `capacity` vectors."""
    shape = context.shape
    if context.arch.pe_array.dataflow == "systolic":
        return systolic.key_parts(shape.row_spans, shape.tile_rows, capacity)
    return plan_parts(plan, shape.groups_per_tile, capacity)


def _array_work(context: Context, plan: Plan, name: str, parts: Parts | None) -> ArrayWork:
    """What one product asks of the array under the design's dataflow, a job a tile or a part."""
    arch, d_head, shape = context.arch, context.layer.d_head, context.shape
    if arch.pe_array.dataflow == "systolic":
        product = systolic.score_work if name == "k" else systolic.output_work
        return product(arch, shape.row_spans, shape.tile_rows, d_head, parts)
    buffer: BufferConfig = getattr(arch.buffers, name)
    return token_parallel.array_work(arch, plan, shape.groups_per_tile, d_head, buffer, parts)


def _array_jobs(work: ArrayWork) -> list[ArrayJob]:
    return [
        ArrayJob(cycles, tuple(busy), tuple(conflict))
        for cycles, busy, conflict in zip(
            work.cycles.tolist(), work.busy_cycles.tolist(), work.conflict_cycles.tolist(), strict=True
        )
    ]


def _fetches(
    context: Context, name: str, kv_heads: Sequence[int], pool: Pool, parts: Parts
) -> tuple[list[Fetch], Pool]:
    """What each part brings into the pool; keys of kv head n of a bundle are numbered from n * L_k."""
    region: Region = getattr(context.placement, name)
    L_k = context.layer.L_k
    found, after = fetches(pool, parts, kv_heads[0] * L_k)
    made = []
    for part in range(len(parts)):
        place, key = np.divmod(found.keys(part), L_k)
        transfer = Transfer.joined([region.gather(kv_head, key[place == at]) for at, kv_head in enumerate(kv_heads)])
        context.counters[f"{name}_buffer_write_bytes"] += transfer.num_bytes
        made.append(Fetch(transfer, int(found.must_have_ended[part])))
    return made, after


def _tiles(
    context: Context,
    heads: Sequence[int],
    selections: Sequence[Selection],
    plan: Plan,
    sddmm: Sequence[Sequence[Part]],
    spmm: Sequence[Sequence[Part]],
) -> tuple[TileWork, ...]:
    arch, shape, placement = context.arch, context.shape, context.placement
    scheduling = _scheduling(context, plan, len(heads))
    selecting = _mask_generations(context, selections)
    counts = shape.interleaving.rows([selection.keep.row_counts for selection in selections])
    work, element = context.predictor.work, arch.pe_array.bits // 8
    predicted_bytes = 0 if work is None else predictor.score_bytes(work)
    names = ", ".join(map(str, heads))
    return tuple(
        TileWork(
            name=f"layer {context.layer.number} head {names} tile {at}",
            q_read=Transfer.joined([placement.q.transfer(head, first, rows) for head in heads]),
            prediction=_prediction(context, len(heads), rows, span),
            mask_generation=selecting[at],
            scheduling=scheduling[at],
            sddmm=tuple(sddmm[at]),
            softmax=softmax_unit.tile_job(arch.softmax, _of_tile(shape, counts, at)),
            spmm=tuple(spmm[at]),
            output_write=Transfer.joined(
                [placement.output.transfer(head, first, rows, is_write=True) for head in heads]
            ),
            predicted_spill=_spill(context, "predictor", at, len(heads) * rows * span * predicted_bytes),
            score_spill=_spill(context, "score", at, int(_of_tile(shape, counts, at).sum()) * element),
        )
        for at, (first, rows, span) in enumerate(shape.tiles)
    )


def _spill(context: Context, buffer: str, tile: int, score_bytes: int) -> Spill | None:
    """The scores of a tile beyond its slot, which bytes on their way pass through; None where slots are big enough."""
    spilled = context.shape.tiling.spilled.get(buffer)
    if spilled is None:
        return None
    slot = tile % getattr(context.shape.slots, buffer)
    spill = spill_of(context.placement.spills[buffer], slot, score_bytes, spilled.held_bytes)
    ways = 1 if buffer == "predictor" else 2
    context.counters[f"{buffer}_buffer_read_bytes"] += ways * spill.write.num_bytes
    context.counters[f"{buffer}_buffer_write_bytes"] += ways * spill.read.num_bytes
    return spill


def _of_tile(shape: LayerShape, rows: NDArray[np.int64], tile: int) -> NDArray[np.int64]:
    return rows[tile * shape.tile_rows : (tile + 1) * shape.tile_rows]


def _scheduling(context: Context, plan: Plan, num_heads: int) -> Sequence[Job | None]:
    """The scheduler's jobs; a dense machine needs no plan."""
    config, shape = context.arch.scheduler, context.shape
    if context.arch.predictor.method == "dense":
        return [None] * len(shape.tiles)
    cycles = schedule_tiles(
        _groups(shape, num_heads).spans,
        plan.group_loads(),
        group_spills(config, plan),
        shape.groups_per_tile,
        config.num_schedulers,
        config.keys_classified_per_cycle,
    )
    return [Job(at) for at in cycles.tolist()]


def _prediction(context: Context, num_heads: int, rows: int, span: int) -> Job | None:
    """The predictor's job for a tile: `rows` rows of each head, one head after the other."""
    arch, work = context.arch, context.predictor.work
    if work is None:
        return None
    for _ in range(num_heads):
        context.counters.update(counters.tile_counters(arch, work, rows, span))
    return predictor.tile_job(arch, work, rows, span).times(num_heads)


def _mask_generations(context: Context, selections: Sequence[Selection]) -> Sequence[Job | None]:
    """The mask generator's jobs of a bundle."""
    config, work, shape = context.arch.mask_generator, context.predictor.work, context.shape
    if work is None or config is None:
        return [None] * len(shape.tiles)
    for selection in selections:
        context.counters.update(counters.selection_counters(selection, shape.groups, predictor.score_bytes(work)))
    cycles = shape.interleaving.rows([selection.row_cycles for selection in selections])
    tiles = [_of_tile(shape, cycles, at) for at in range(len(shape.tiles))]
    return [mask_generator.tile_job(row_cycles, config.num_selectors) for row_cycles in tiles]
