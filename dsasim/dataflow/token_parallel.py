"""Token-parallel dataflow: T query rows of a group step through their kept keys together, lanes take groups in turn."""

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.dataflow.plan import Plan
from dsasim.dataflow.work import ArrayWork
from dsasim.kernels.array import walk_tiles


def array_work(arch: ArchConfig, plan: Plan, groups_per_tile: int, d_head: int, buffer: BufferConfig) -> ArrayWork:
    """Walk a head's plan on the array, reading vectors of `d_head` elements from `buffer` (K for SDDMM, V for SpMM).

    Rules and worked example: `kernels.array`.
    """
    vector_bytes = d_head * arch.pe_array.bits // 8
    cycles, reads, busy, conflict = walk_tiles(
        plan.step_ptr,
        plan.load_ptr,
        plan.load_key,
        groups_per_tile,
        arch.pe_array.lanes,
        buffer.banks,
        -(-d_head // arch.pe_array.macs_per_row),
        -(-vector_bytes // buffer.port_bytes),
    )
    return ArrayWork(cycles, busy, conflict, int(reads.sum()))
