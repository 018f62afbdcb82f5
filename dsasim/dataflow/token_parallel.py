"""Token-parallel dataflow: T query rows of a group step through their kept keys together, lanes take groups in turn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dsasim.config.schema import ArchConfig, BufferConfig, PEArrayConfig
from dsasim.dataflow.plan import Plan
from dsasim.dataflow.residency import Parts
from dsasim.dataflow.work import ArrayWork
from dsasim.kernels.array import Walk, walk_blocks, walk_tiles
from dsasim.kernels.array_independent import walk_blocks_independently, walk_tiles_independently


class Walks(NamedTuple):
    """One rule of how lanes wait for each other, for whole tiles and for parts of them."""

    tiles: Callable[..., Walk]
    parts: Callable[..., Walk]


WALKS = {
    "lock_step": Walks(walk_tiles, walk_blocks),
    "independent": Walks(walk_tiles_independently, walk_blocks_independently),
}
"""By `pe_array.lane_sync`."""


class VectorTiming(NamedTuple):
    """What one vector of keys or values takes: two buffers with equal timing are walked alike."""

    banks: int
    vector_cycles: int
    """A row of the array multiplying it: ceil(d_head / macs_per_row)."""
    read_cycles: int
    """A bank delivering it: ceil(vector bytes / port bytes)."""


def vector_timing(arch: ArchConfig, d_head: int, buffer: BufferConfig) -> VectorTiming:
    """The timing of vectors of `d_head` elements of the array's width, read from `buffer`."""
    vector_bytes = d_head * arch.pe_array.bits // 8
    return VectorTiming(buffer.banks, -(-d_head // arch.pe_array.macs_per_row), -(-vector_bytes // buffer.port_bytes))


def array_work(
    array: PEArrayConfig, plan: Plan, groups_per_tile: int, timing: VectorTiming, parts: Parts | None = None
) -> ArrayWork:
    """Walk a head's plan on the array, reading vectors of `timing` (those of K for SDDMM, of V for SpMM).

    One job a tile, or one a part where the head's vectors do not fit. Rules and worked examples: `kernels.array`, and
    `kernels.array_independent` for lanes that do not wait for each other.
    """
    walk = WALKS[array.lane_sync]
    head = plan.step_ptr, plan.load_ptr, plan.load_key, array.lanes, *timing
    cycles, reads, busy, conflict = (
        walk.tiles(groups_per_tile, *head) if parts is None else walk.parts(parts.bounds, *head)
    )
    nothing = np.zeros_like(reads)
    return ArrayWork(cycles, busy, conflict, reads, nothing, nothing)
