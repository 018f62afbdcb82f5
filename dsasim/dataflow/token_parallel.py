"""Token-parallel dataflow: T query rows of a group step through their kept keys together, lanes take groups in turn."""

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.dataflow.plan import Plan
from dsasim.dataflow.residency import Parts
from dsasim.dataflow.work import ArrayWork
from dsasim.kernels.array import walk_parts
from dsasim.kernels.parts import tile_bounds


def array_work(
    arch: ArchConfig,
    plan: Plan,
    groups_per_tile: int,
    d_head: int,
    buffer: BufferConfig,
    parts: Parts | None = None,
) -> ArrayWork:
    """Walk a head's plan on the array, reading vectors of `d_head` elements from `buffer` (K for SDDMM, V for SpMM).

    One job a tile, or one a part where the head's vectors do not fit. Rules and worked example: `kernels.array`.
    """
    vector_bytes = d_head * arch.pe_array.bits // 8
    cycles, reads, busy, conflict = walk_parts(
        tile_bounds(plan.step_ptr, groups_per_tile) if parts is None else parts.bounds,
        plan.step_ptr,
        plan.load_ptr,
        plan.load_key,
        arch.pe_array.lanes,
        buffer.banks,
        -(-d_head // arch.pe_array.macs_per_row),
        -(-vector_bytes // buffer.port_bytes),
    )
    return ArrayWork(cycles, busy, conflict, int(reads.sum()))
