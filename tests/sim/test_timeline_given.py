"""A given 4 x 4 mask on the tiny machine (conftest), every cycle worked out by hand.

        keys 0 1 2 3
    row 0    x x . .     group 0, T = 2: key 1 for both rows; then key 0 for row 0 and key 2 for row 1.
    row 1    . x x .       3 loads, 2 steps. Keys 0 and 2 share bank 0 of 2: step 2 takes 2 cycles, one in conflict.
    row 2    . . x .     group 1: key 2 for row 2. 1 load, 1 step.
    row 3    . . . .

A vector has 4 elements of 16 bits: 1 cycle for 4 MACs, 1 cycle for a port of 8 bytes. Two tiles of one group.

Memory: Q is at 0 (tile 1 at 16), K at 4096: bank group 0; V at 8192, output at 12288: bank group 1. Reads posted at 0.

    admitted    q0 at 0, k 1, v 2, q1 3 (round robin over the streams q, k, v)
    commands    ACT group 0 at 1; ACT group 1 at 1 + nRRD_S = 5
                RD q0 1 + nRCD = 23; v 5 + nRCD = 27; k 23 + nCCD_L = 31; q1 31 + nCCD_L = 39
    ready       command + nCL + nBL = command + 26: q0 49, v 53, k 57, q1 65

Units (jobs as start-end, all starting when operands and slot are there):

    scheduler   tile 0: classify 4 / 4 = 1, issue 3, pipeline 2: 0-6.  tile 1: 1 + 1 + 2: 6-10
    array       S0 needs plan 6, q0 49, k 57: 57-60.   S1 needs q1: 65-66.   P0 after softmax: 70-73.   P1: 74-75
    softmax     tile 0: 2 + (2 + 2) + (2 + 2) = 10: 60-70.   tile 1: 2 + (1 + 1) = 4: 70-74
    output      out0 posted at 73: admitted, WR at 74, data ends at 74 + nCWL + nBL = 94
                out1 posted at 75: WR at 74 + nCCD_L = 82, data ends at 102: the run's end
"""

from collections.abc import Callable

import pytest

from dsasim.config.schema import ArchConfig
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

KEEP = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
Books = Callable[[MachineResult, str], dict[str, int]]


@pytest.fixture
def result(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace], run: Callable[..., MachineResult]
) -> MachineResult:
    return run(tiny(), masked(KEEP))


def test_total(result: MachineResult) -> None:
    assert result.cycles == 102
    (layer,) = result.layers
    (head,) = layer.heads
    assert (layer.cycles, head.cycles, layer.tile_rows) == (102, 102, 2)
    assert (head.nnz, head.k_loads, head.plan_steps, head.density) == (5, 4, 3, 5 / 16)


@pytest.mark.parametrize(
    ("unit", "cycles"),
    [
        ("predictor", {"drained": 102}),
        ("mask_generator", {"drained": 102}),
        ("scheduler", {"busy": 10, "drained": 92}),
        # waits for K until 57, for Q of tile 1 60-65, for softmax 66-70 and 73-74
        ("lane_0", {"busy": 6, "bank_conflict": 2, "dram": 57 + 5, "operand": 4 + 1, "drained": 27}),
        ("pe_array", {"busy": 6, "bank_conflict": 2, "dram": 62, "operand": 5, "drained": 27}),
        ("softmax", {"busy": 14, "operand": 60, "drained": 28}),
        ("dma_predictor", {"drained": 102}),
        ("dma_q", {"busy": 65, "drained": 37}),
        ("dma_k", {"busy": 57, "drained": 45}),
        ("dma_v", {"busy": 53, "drained": 49}),
        ("dma_output", {"busy": 29, "operand": 73}),
        ("dma", {"busy": 65 + 57 + 53 + 29, "operand": 73, "drained": 2 * 102 + 37 + 45 + 49}),
        # six bursts of nBL = 4; transfers are open 0-65 and 73-102
        ("dram", {"busy": 24, "dram": 65 + 29 - 24, "operand": 8}),
    ],
)
def test_every_cycle_of_every_unit(result: MachineResult, books: Books, unit: str, cycles: dict[str, int]) -> None:
    assert books(result, unit) == cycles


def test_utilisation_is_useful_over_offered_macs(result: MachineResult) -> None:
    """2 products x 5 positions x 4 elements on 1 lane x 2 rows x 4 MACs for 102 cycles; others are busy / total."""
    assert result.units["pe_array"].utilisation_ratio == 40 / (8 * 102)
    assert result.units["softmax"].utilisation_ratio == 14 / 102


@pytest.mark.parametrize(
    ("counter", "count"),
    [
        ("macs_sddmm", 5 * 4),
        ("macs_spmm", 5 * 4),
        ("macs_predictor", 0),
        ("keys_classified", 8),  # 4 positions of each group
        ("keys_issued", 4),
        ("keys_spilled", 0),
        ("idle_row_slots", 1),  # row 3 in the only step of group 1
        ("softmax_exponentials", 5),
        ("softmax_divisions", 5),
        ("k_vector_reads", 4),
        ("v_vector_reads", 4),
        ("q_buffer_write_bytes", 32),
        ("q_buffer_read_bytes", 32),
        ("k_buffer_write_bytes", 32),
        ("k_buffer_read_bytes", 4 * 8),
        ("v_buffer_read_bytes", 4 * 8),
        ("score_buffer_write_bytes", 3 * 5 * 2),
        ("score_buffer_read_bytes", 3 * 5 * 2),
        ("mask_buffer_write_bytes", 4),  # plan entries of 2 + 2 bits in a byte; a given mask is there already
        ("mask_buffer_read_bytes", 4 + 2 * 4),  # one byte a row, then the plan twice
        ("output_buffer_write_bytes", 32),
        ("output_buffer_read_bytes", 32),
        ("dram_read_bursts", 4),
        ("dram_write_bursts", 2),
        ("dram_read_bytes", 256),
        ("dram_activates", 2),
        ("dram_precharges", 0),
        ("dram_row_misses", 2),
        ("dram_row_hits", 4),
        ("dram_row_conflicts", 0),
    ],
)
def test_counters(result: MachineResult, counter: str, count: int) -> None:
    assert result.counters[counter] == count
