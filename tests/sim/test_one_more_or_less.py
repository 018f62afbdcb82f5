"""At the edge: a byte, a slot, a bank or a cycle more or less."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError, TraceError
from dsasim.sim.result import MachineResult
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory

Arch = Callable[..., ArchConfig]
Masked = Callable[..., AttentionTrace]
Run = Callable[..., MachineResult]
FULL = [[1, 1, 1, 1]] * 8
"""8 rows, 4 keys, vectors of 8 bytes."""


@pytest.mark.parametrize(
    ("buffer", "needed", "what"),
    [
        ("k", 2 * 8, "a step of token_parallelism 2 needs 2"),
        ("v", 2 * 8, "a step of token_parallelism 2 needs 2"),
        ("q", 2 * 2 * 8, "queries for 2 rows"),
        ("output", 2 * 2 * 8, "outputs for 2 rows"),
        ("mask", 2 * 2 * 2, "mask bits and the plan over them for 2 rows"),
    ],
)
def test_a_buffer_one_byte_too_small_is_named_with_what_it_needs(
    tiny: Arch, masked: Masked, run: Run, buffer: str, needed: int, what: str
) -> None:
    """Two slots of one group of two rows, or a pool of T vectors."""
    run(tiny(f"buffers.{buffer}.bytes={needed}"), masked(FULL))
    with pytest.raises(ConfigError, match=rf"buffers\.{buffer}\.bytes is {needed - 1}\b.*{re.escape(what)}") as caught:
        run(tiny(f"buffers.{buffer}.bytes={needed - 1}"), masked(FULL))
    assert re.search(rf"\b{needed if buffer not in 'kv' else 'vectors of 8 bytes'}\b", str(caught.value))


def test_tiles_grow_by_a_group_when_the_last_byte_fits(tiny: Arch, masked: Masked, run: Run) -> None:
    """Four rows in two slots of queries are 64 bytes."""

    def rows(size: int) -> int:
        return run(tiny("scheduler.tile_rows=8", f"buffers.q.bytes={size}"), masked(FULL)).layers[0].tile_rows

    assert [rows(63), rows(64), rows(96), rows(128), rows(1024)] == [2, 4, 6, 8, 8]


def test_the_next_kv_head_loads_ahead_only_where_both_fit(tiny: Arch, masked: Masked, run: Run) -> None:
    """Two heads of 32 bytes of K: in 64 bytes the second loads at once, in 63 after the last SDDMM of the first."""

    def full(size: int) -> int:
        return run(tiny(f"buffers.k.bytes={size}"), masked([FULL, FULL])).units["dma_k"].stall_cycles["output_full"]

    assert full(64) == 0
    assert full(63) > 0


def test_a_mask_slot_freed_one_cycle_later_delays_the_scheduler_by_one(tiny: Arch, masked: Masked, run: Run) -> None:
    """The third tile is planned when P0 has left its mask slot; a V read of a cycle more makes P0 a cycle longer.

    One key kept a row, so every product is one step: 1 cycle with ports of 8 bytes, 2 with 7.
    """
    trace = masked([[1, 0, 0, 0]] * 6)
    runs = [run(tiny(f"buffers.v.port_bytes={port}"), trace) for port in (8, 7)]
    waits = [result.units["scheduler"].stall_cycles["output_full"] for result in runs]
    conflicts = [result.units["pe_array"].stall_cycles["bank_conflict"] for result in runs]
    assert waits[1] - waits[0] == 1
    assert conflicts == [0, 3]


def test_a_third_mask_slot_lets_the_scheduler_run_ahead(tiny: Arch, masked: Masked, run: Run) -> None:
    trace = masked([[1, 0, 0, 0]] * 6)
    assert run(tiny("buffers.mask.num_slots=2"), trace).units["scheduler"].stall_cycles["output_full"] > 0
    assert run(tiny("buffers.mask.num_slots=3"), trace).units["scheduler"].stall_cycles["output_full"] == 0


def test_as_many_banks_as_keys_of_a_step_do_not_conflict_and_one_less_does(
    tiny: Arch, masked: Masked, run: Run
) -> None:
    """In order, T = 4: the rows' only keys 0 .. 3 are one step. Four banks: 1 cycle; three hold 0 and 3 together: 2."""
    diagonal = masked([[row == key for key in range(4)] for row in range(4)])
    design = ("scheduler.token_parallelism=4", "scheduler.tile_rows=4")

    def conflicts(banks: int) -> int:
        arch = tiny(*design, f"buffers.k.banks={banks}", f"buffers.v.banks={banks}")
        return run(arch, diagonal).units["lane_0"].stall_cycles["bank_conflict"]

    assert (conflicts(4), conflicts(3), conflicts(1)) == (0, 2, 6)


def test_a_row_that_keeps_nothing_costs_its_tile_one_cycle_of_imbalance(tiny: Arch, masked: Masked, run: Run) -> None:
    result = run(tiny(), masked([[0, 0, 0, 0]] * 2))
    assert result.units["pe_array"].stall_cycles["imbalance"] == 2
    assert result.layers[0].heads[0].nnz == 0


def test_a_layer_that_allows_nothing_is_refused(tiny: Arch, run: Run) -> None:
    ones = np.ones((1, 3, 4), np.float32)
    layer = LayerArrays(5, ones, ones, ones, ones[0], causal=False, scale=1.0, allowed=np.zeros((3, 3), np.bool_))
    trace = trace_in_memory("nothing", [layer], kind="synthetic", dtype="float32")
    arch = tiny("predictor.method=oracle_topk")
    with pytest.raises(TraceError, match="layer 5 of the trace allows no query to attend to any key"):
        run(arch, trace)
