"""SDDMM and SpMM of a bundle's rows on the array: one job a tile, or parts where K or V is fetched into a pool."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dsasim.dataflow import systolic, token_parallel
from dsasim.dataflow.plan import Plan
from dsasim.dataflow.residency import Parts, fetches, plan_parts
from dsasim.dataflow.work import ArrayWork
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import Region
from dsasim.designs.dsa.work import ArrayJob, Fetch, Part
from dsasim.designs.dsa.context import Context

SDDMM, SPMM = "k", "v"
"""The products, by what they read."""


@dataclass(frozen=True)
class TiledProduct:
    """SDDMM or SpMM of some rows: the parts of each tile, and what they take together."""

    tiles: list[list[Part]]
    work: ArrayWork


def products(context: Context, plan: Plan, kv_heads: Sequence[int]) -> tuple[TiledProduct, TiledProduct]:
    """Both products; their fetches change the pools. They walk the same plan, so only once if K and V are alike."""
    arch, shape, d_head = context.arch, context.shape, context.layer.d_head
    parts = {name: _parts(context, plan, getattr(shape, name).part_vectors) for name in (SDDMM, SPMM)}
    if arch.pe_array.dataflow == "systolic":
        sddmm = systolic.score_work(arch, shape.row_spans, shape.tile_rows, d_head, parts[SDDMM])
        spmm = systolic.output_work(arch, shape.row_spans, shape.tile_rows, d_head, parts[SPMM])
    else:
        buffers = (arch.buffers.k, arch.buffers.v)
        k_timing, v_timing = (token_parallel.vector_timing(arch, d_head, buffer) for buffer in buffers)
        sddmm = token_parallel.array_work(arch.pe_array, plan, shape.groups_per_tile, k_timing, parts[SDDMM])
        spmm = sddmm
        if v_timing != k_timing or shape.v.part_vectors != shape.k.part_vectors:
            spmm = token_parallel.array_work(arch.pe_array, plan, shape.groups_per_tile, v_timing, parts[SPMM])
    return (
        _product(context, SDDMM, sddmm, parts[SDDMM], kv_heads),
        _product(context, SPMM, spmm, parts[SPMM], kv_heads),
    )


def _parts(context: Context, plan: Plan, part_vectors: int | None) -> Parts | None:
    """The parts of each tile of at most `part_vectors` keys; None where whole kv heads are kept."""
    shape = context.shape
    if part_vectors is None:
        return None
    if context.arch.pe_array.dataflow == "systolic":
        return systolic.key_parts(shape.row_spans, shape.tile_rows, part_vectors)
    return plan_parts(plan, shape.groups_per_tile, part_vectors)


def _product(
    context: Context, name: str, work: ArrayWork, parts: Parts | None, kv_heads: Sequence[int]
) -> TiledProduct:
    jobs = [
        ArrayJob(cycles, tuple(busy), tuple(conflict))
        for cycles, busy, conflict in zip(
            work.cycles.tolist(), work.busy_cycles.tolist(), work.conflict_cycles.tolist(), strict=True
        )
    ]
    if parts is None:
        return TiledProduct([[Part(job)] for job in jobs], work)
    tiles: list[list[Part]] = [[] for _ in context.shape.tiles]
    for tile, job, fetch in zip(parts.tile.tolist(), jobs, _fetches(context, name, kv_heads, parts), strict=True):
        tiles[tile].append(Part(job, fetch))
    return TiledProduct(tiles, work)


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
        context.counters[f"{name}_buffer_write_bytes"] += transfer.num_bytes
        made.append(Fetch(transfer, int(found.must_have_ended[part])))
    return made
