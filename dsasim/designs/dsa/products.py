"""SDDMM and SpMM of a bundle's rows on the array: one job a tile, or parts where K or V is fetched into a pool."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsasim.dataflow import work as jobs
from dsasim.dataflow.base import Rows, dataflow_of
from dsasim.dataflow.dense_blocks import sum_bytes
from dsasim.dataflow.plan import Plan
from dsasim.dataflow.residency import Parts, fetches
from dsasim.designs.dsa.context import Context
from dsasim.designs.dsa.events import tile_sums
from dsasim.designs.dsa.work import ArrayWork, Fetch, Part
from dsasim.machine.job import Events
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import Region

SDDMM, SPMM = "k", "v"
"""The products, by what they read."""


TiledProduct: TypeAlias = list[list[Part]]
"""SDDMM or SpMM of some rows: the parts of each tile."""


def products(
    context: Context, plan: Plan, kv_heads: Sequence[int], num_heads: int, plan_bytes: Sequence[int]
) -> tuple[TiledProduct, TiledProduct]:
    """Both products of a head group, by the design's dataflow; their fetches change the pools.

    `plan_bytes`: of each tile, which either product reads.
    """
    arch, shape, d_head = context.arch, context.shape, context.layer.d_head
    dataflow = dataflow_of(arch)
    rows = Rows(plan, shape.row_spans, shape.tile_rows, shape.groups_per_tile, d_head)
    parts = {}
    for name in (SDDMM, SPMM):
        capacity = getattr(shape, name).part_vectors
        parts[name] = None if capacity is None else dataflow.parts(rows, capacity)
    sddmm, spmm = dataflow.products(arch, rows, parts[SDDMM], parts[SPMM])
    queries = [num_heads * count * d_head * arch.pe_array.bits // 8 for _, count, _ in shape.tiles]
    per_tile = list(zip(queries, plan_bytes, strict=True))
    return (
        _product(context, SDDMM, sddmm, plan, parts[SDDMM], kv_heads, per_tile),
        _product(context, SPMM, spmm, plan, parts[SPMM], kv_heads, per_tile),
    )


def _product(
    context: Context,
    name: str,
    work: jobs.ArrayWork,
    plan: Plan,
    parts: Parts | None,
    kv_heads: Sequence[int],
    per_tile: Sequence[tuple[int, int]],
) -> TiledProduct:
    """The parts of each tile; `per_tile`: bytes of its rows of Q (or output) and of its plan, read once."""
    tile_of = list(range(len(context.shape.tiles))) if parts is None else parts.tile.tolist()
    fetches = [None] * len(tile_of) if parts is None else _fetches(context, name, kv_heads, parts)
    served = _served(plan, context.shape.groups_per_tile, parts).tolist()
    tiles: list[list[Part]] = [[] for _ in context.shape.tiles]
    for at, (tile, fetch) in enumerate(zip(tile_of, fetches, strict=True)):
        once = (0, 0) if tiles[tile] else per_tile[tile]
        counted = (served[at], *(int(each[at]) for each in (work.vector_reads, work.rereads, work.partial_sums)))
        job = ArrayWork(
            int(work.cycles[at]),
            tuple(work.busy_cycles[at].tolist()),
            tuple(work.conflict_cycles[at].tolist()),
            EVENTS[name](context, *once, *counted),
        )
        tiles[tile].append(Part(job, fetch))
    return tiles


def _served(plan: Plan, groups_per_tile: int, parts: Parts | None) -> NDArray[np.int64]:
    """Kept positions of each job: those that its loads serve; a systolic part's are those of its keys."""
    if parts is None:
        return np.array(tile_sums(plan.group_served(), groups_per_tile))
    if parts.bounds[:, 1].all():
        served: NDArray[np.int64] = np.diff(plan.served()[plan.load_ptr[parts.bounds[:, 2:]]], axis=1)[:, 0]
        return served
    ends = plan.load_ptr[plan.step_ptr[np.append(np.arange(0, len(plan.step_ptr) - 1, groups_per_tile), -1)]]
    rows = np.bitwise_count(plan.load_rows)
    found = []
    for part, tile in enumerate(parts.tile.tolist()):
        loads, keys = slice(ends[tile], ends[tile + 1]), parts.union(part)
        found.append(int(rows[loads][np.isin(plan.load_key[loads], keys)].sum(dtype=np.int64)))
    return np.array(found, dtype=np.int64)


def _sddmm_events(
    context: Context, row_bytes: int, plan_bytes: int, served: int, vectors: int, rereads: int, sums: int
) -> Events:
    """Q and plan are read, K vectors fetched, kept scores written; a systolic array reads Q again for each column fold.

    Its partial sums, as wide as the accumulators (`sum_bytes`), leave and come back through the score buffer.
    """
    arch, d_head = context.arch, context.layer.d_head
    element, unfinished = arch.pe_array.bits // 8, sums * sum_bytes(arch)
    return {
        "macs_sddmm": served * d_head,
        "k_vector_reads": vectors,
        "k_buffer_read_bytes": vectors * d_head * element,
        "q_buffer_read_bytes": row_bytes + rereads * element,
        "score_buffer_write_bytes": served * element + unfinished,
        "score_buffer_read_bytes": unfinished,
        "mask_buffer_read_bytes": plan_bytes,
    }


def _spmm_events(
    context: Context, row_bytes: int, plan_bytes: int, served: int, vectors: int, rereads: int, sums: int
) -> Events:
    """Probabilities and plan are read, V vectors fetched, the output's rows written; partial sums pass the output."""
    arch, d_head = context.arch, context.layer.d_head
    element, unfinished = arch.pe_array.bits // 8, sums * sum_bytes(arch)
    return {
        "macs_spmm": served * d_head,
        "v_vector_reads": vectors,
        "v_buffer_read_bytes": vectors * d_head * element,
        "score_buffer_read_bytes": (served + rereads) * element,
        "output_buffer_write_bytes": row_bytes + unfinished,
        "output_buffer_read_bytes": unfinished,
        "mask_buffer_read_bytes": plan_bytes,
    }


EVENTS = {SDDMM: _sddmm_events, SPMM: _spmm_events}


def _fetches(context: Context, name: str, kv_heads: Sequence[int], parts: Parts) -> list[Fetch]:
    """What each part brings into the pool, where key j of kv head n is known as n * L_k + j."""
    region: Region = getattr(context.placement, name)
    L_k = context.layer.L_k
    place, key = np.divmod(parts.union_keys.astype(np.int64), L_k)
    known = replace(parts, union_keys=np.array(kv_heads)[place] * L_k + key)
    found, after = fetches(getattr(context.pools, name), known)
    setattr(context.pools, name, after)
    made = []
    for part in range(len(parts)):
        kv_head, key = np.divmod(found.keys(part), L_k)
        transfer = Transfer.joined([region.gather(number, key[kv_head == number]) for number in kv_heads])
        made.append(Fetch(transfer, int(found.must_have_ended[part])))
    return made
