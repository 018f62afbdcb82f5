"""A dataflow from outside: one query at a time over the whole array, without sharing.

All lanes x T rows of PEs work for one query: each takes another of its kept keys, and loads the vector for itself. A
step lasts as long as in `dsasim.kernels.array`, max(vector_cycles, most reads of any one bank x read_cycles); between
two queries the array is handed over in `pe_array.turn_cycles` (the query goes in, or its output comes out). Nothing is
left of what a query loaded when the next one begins, so as many vectors are read as positions are kept.

    dsasim --plugin examples/plugins/query_serial.py run examples/plugins/query_serial.yaml minilm-l128

Worked example: 2 lanes of 2 rows, 2 cycles a vector, 2 cycles a read, 4 banks, 1 cycle a turn; a query keeps keys
0 1 2 4 5. Step 0 loads 0 1 2 4, of which 0 and 4 lie in one bank: 4 cycles, 2 of them conflict in both lanes. Step 1
loads 5 for a row of lane 0: 2 cycles, in which lane 1 waits. With the turn the query takes 7 cycles, and 5 reads.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from dsasim.config.schema import ArchConfig, BufferConfig, PEArrayConfig
from dsasim.dataflows.base import ArrayWork, Dataflow, Rows
from dsasim.dataflows.key_blocks import KeyBlocks, plan_blocks
from dsasim.dataflows.plan import Plan
from dsasim.dataflows.token_parallel import vector_timing
from dsasim.errors import ConfigError
from dsasim.masks import Int64, KeepMask


class QuerySerialArray(PEArrayConfig):
    """The section `pe_array` of a design that uses this dataflow."""

    turn_cycles: Annotated[int, Field(ge=0, le=4096)] = Field(1, description="cycles from one query to the next")


class QuerySerial(Dataflow):
    """Plans and times one query after the other."""

    summary = "one query at a time over the whole array, each row of PEs loads a key of its own"
    lock_step = True
    order = "in_order"
    Settings = QuerySerialArray

    def plan(self, arch: ArchConfig, keep: KeepMask, group_rows: int) -> Plan:
        """A step has as many keys of one query as the array has rows."""
        width = self.step_rows(arch)
        row_ends = np.concatenate([[0], np.cumsum(-(-keep.row_counts // width))])
        num_rows = len(keep.row_counts)
        group_starts = np.append(np.arange(0, num_rows, group_rows), num_rows)
        row = np.repeat(np.arange(num_rows), np.diff(row_ends))
        first_loads = keep.indptr[row] + (np.arange(len(row)) - row_ends[row]) * width
        row_bits = (1 << keep.rows % group_rows).astype(np.uint8)
        return Plan(row_ends[group_starts], np.append(first_loads, keep.nnz), keep.indices, row_bits)

    def step_rows(self, arch: ArchConfig) -> int:
        """All of the array's."""
        return arch.pe_array.lanes * arch.scheduler.token_parallelism

    def key_blocks(self, rows: Rows, capacity: int) -> KeyBlocks:
        """Runs of steps; ConfigError if a cache's share cannot hold the keys of one."""
        widest = int(np.diff(rows.plan.load_ptr).max(initial=0))
        if widest > capacity:
            raise ConfigError(
                f"buffers: a key block of a cache has room for {capacity} vectors, and a step of pe_array.dataflow"
                f" query_serial loads {widest}: make k and v larger, or the array smaller"
            )
        return plan_blocks(rows.plan, rows.groups_per_tile, capacity)

    def products(
        self, arch: ArchConfig, rows: Rows, k: KeyBlocks | None, v: KeyBlocks | None
    ) -> tuple[ArrayWork, ArrayWork]:
        """S = Q K^T and O = P V load alike, each from its own buffer."""
        return _work(arch, rows, arch.buffers.k, k), _work(arch, rows, arch.buffers.v, v)


def _work(arch: ArchConfig, rows: Rows, buffer: BufferConfig, blocks: KeyBlocks | None) -> ArrayWork:
    """A job a tile or key block: the sums over its steps."""
    timing, plan, array = vector_timing(arch, rows.d_head, buffer), rows.plan, arch.pe_array
    loads = np.diff(plan.load_ptr)
    step = np.repeat(np.arange(len(loads)), loads)
    in_bank = np.bincount(step * timing.banks + plan.load_key % timing.banks, minlength=len(loads) * timing.banks)
    lasts = np.maximum(timing.vector_cycles, in_bank.reshape(len(loads), timing.banks).max(axis=1) * timing.read_cycles)
    working = loads[:, None] > arch.scheduler.token_parallelism * np.arange(array.lanes)
    bounds = _bounds(plan, rows.groups_per_tile) if blocks is None else blocks.bounds[:, 2:]
    reads = _sums(loads, bounds)
    return ArrayWork(
        cycles=np.maximum(1, _sums(lasts + array.turn_cycles * _turns(plan), bounds)),
        busy_cycles=_sums(working * timing.vector_cycles, bounds),
        conflict_cycles=_sums(working * (lasts - timing.vector_cycles)[:, None], bounds),
        vector_reads=reads,
        rereads=np.zeros_like(reads),
        partial_sums=np.zeros_like(reads),
    )


def _turns(plan: Plan) -> Int64:
    """1 for each step that is the first of its query, else 0 [steps]."""
    group = np.repeat(np.arange(len(plan.step_ptr) - 1), np.diff(plan.step_ptr))
    query = group * 256 + plan.load_rows[plan.load_ptr[:-1]]
    return (np.diff(query, prepend=-1) != 0).astype(np.int64)


def _bounds(plan: Plan, groups_per_tile: int) -> Int64:
    """First and end step of each tile [tiles, 2]."""
    ends = np.append(plan.step_ptr[:-1:groups_per_tile], plan.step_ptr[-1])
    return np.stack([ends[:-1], ends[1:]], axis=1)


def _sums(of_steps: Int64, bounds: Int64) -> Int64:
    """Sums over the steps of each job."""
    until = np.zeros((len(of_steps) + 1, *of_steps.shape[1:]), np.int64)
    np.cumsum(of_steps, axis=0, out=until[1:])
    return until[bounds[:, 1]] - until[bounds[:, 0]]


DATAFLOWS = {"query_serial": QuerySerial}
