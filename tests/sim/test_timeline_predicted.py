"""A predicted 4 x 4 mask on the tiny machine (conftest), from the layer input to the last output, worked out by hand.

Inputs X are e0, e0, e1, 0 and P, W~q, W~k the identity, so S~ is positive exactly where two inputs agree:

        keys 0 1 2 3
    row 0    x x . .     group 0: keys 0 and 1, each for both rows. 2 loads, 2 steps, in different banks
    row 1    x x . .
    row 2    . . x .     group 1: key 2 for row 2. 1 load, 1 step
    row 3    . . . .

Predictor, 2 x 2 PEs, 16 bits a cycle from its buffer (one bank of 2 bytes): XP needs 2 * 8 + 2 * 2 = 20 bits, so its
streaming stretches by 2; the 4-bit products need 2 * 4 + 2 * 4 = 16.

    XP of 2 rows    1 * 2 folds * 4 = 8, conflict 8; fill and drain 2 R + C - 2 = 4:   20 cycles
    K~              2 * 2 folds * 4 = 16, and 4:                                       20 cycles
    Q~ and S~       (2 folds * 4 + 4) + (2 folds * 4 + 4):                             24 cycles

Memory: P at 0, X at 4096 (bank group 0); W~ at 8192, Q at 12288 (1); K at 16384, V at 20480 (2); output at 24576 (3).
Two transfers a stream are open, so X1 waits for P and W~ for X0.

    admitted    P 0, q0 1, k 2, v 3, X0 4, q1 5; X1 at 49, W~ at 61
    ACT         group 0 at 1, 1 at 5, 2 at 9 (nRRD_S apart)
    RD          P 23, q0 27, k 31, X0 35, v 39, q1 43 (nCCD_S after another group, nCCD_L after its own); X1 50, W~ 62
    ready       P 49, q0 53, k 57, X0 61, v 65, q1 69, X1 76, W~ 88

    predictor   XP0 needs X0: 61-81.   XP1: 81-101.   K~: 101-121.   tile 0: 121-145.   tile 1: 145-169
    selection   2 cycles a row of 4 keys, one selector: 145-149, 169-173
    scheduler   1 + 2 + 2: 149-154.   1 + 1 + 2: 173-177
    array       S0 154-156.   S1 177-178.   P0 178-180.   P1 after softmax: 182-183
    softmax     2 + (2 + 2) + (2 + 2) = 10: 156-166.   2 + (1 + 1) = 4: 178-182
    output      out0 posted 180: ACT 181, WR 203, ends 203 + nCWL + nBL = 223.   out1: WR 203 + nCCD_L = 211, ends 231
"""

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.sim.result import MachineResult
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace, FittedPredictor
from dsasim.trace.store import trace_in_memory

PREDICTED = (
    "predictor.method=dsa2021",
    "predictor.sigma=1",
    "predictor.bits=4",
    "predictor.array_rows=2",
    "predictor.array_columns=2",
    "mask_generator.selection=threshold",
    "mask_generator.threshold=0.1",
    "mask_generator.num_selectors=1",
    "mask_generator.comparators=2",
    "buffers.predictor.banks=1",
    "buffers.predictor.port_bytes=2",
)
Books = Callable[[MachineResult, str], dict[str, int]]


def agreeing_inputs() -> AttentionTrace:
    """One head of 4 rows; scales make every one an exact code of 4 bits (7), whatever sqrt(3/k) does to XP."""
    identity, nothing = np.eye(4, dtype=np.float32)[None], np.zeros((4, 0), np.float32)
    one = np.full(1, np.sqrt(3 / 4) / 7, np.float32)
    columns = np.full((1, 4), 1 / 7, np.float32)
    fit = FittedPredictor(
        sigma=Decimal(1),
        projection=np.eye(4, dtype=np.int8),
        w_q=identity,
        w_k=identity,
        extra_q=nothing,
        extra_k=nothing,
        scales={
            4: {"x": np.full(1, 1 / 127, np.float32), "xp": one, "w_q": columns, "w_k": columns, "q": one, "k": one}
        },
        position_columns=0,
        fitted_on="nothing: made by hand",
    )
    x = np.zeros((4, 4), np.float32)
    x[0, 0] = x[1, 0] = x[2, 1] = 1
    layer = LayerArrays(0, x[None], x[None], x[None], x, causal=False, scale=0.5, predictors=(fit,))
    return trace_in_memory("agreeing", [layer], kind="real", dtype="float32")


@pytest.fixture
def result(tiny: Callable[..., ArchConfig], run: Callable[..., MachineResult]) -> MachineResult:
    return run(tiny(*PREDICTED), agreeing_inputs())


def test_total(result: MachineResult) -> None:
    assert result.cycles == 231
    assert not result.predictor_free
    (head,) = result.layers[0].heads
    assert (head.cycles, head.nnz, head.k_loads, head.plan_steps) == (231, 5, 3, 3)


@pytest.mark.parametrize(
    ("unit", "cycles"),
    [
        ("predictor", {"busy": 12 + 12 + 20 + 24 + 24, "bank_conflict": 16, "dram": 61, "drained": 62}),
        ("mask_generator", {"busy": 8, "operand": 145 + 20, "drained": 58}),
        ("scheduler", {"busy": 9, "operand": 149 + 19, "drained": 54}),
        # until 57 K is on its way, then the plan is missing
        ("lane_0", {"busy": 6, "dram": 57, "operand": 97 + 21 + 2, "drained": 48}),
        ("softmax", {"busy": 14, "operand": 156 + 12, "drained": 49}),
        ("dma_predictor", {"busy": 88, "drained": 143}),
        ("dma_q", {"busy": 69, "drained": 162}),
        ("dma_k", {"busy": 57, "drained": 174}),
        ("dma_v", {"busy": 65, "drained": 166}),
        ("dma_output", {"busy": 51, "operand": 180}),
        # ten bursts of nBL = 4; transfers are open 0-88 and 180-231
        ("dram", {"busy": 40, "dram": 88 + 51 - 40, "operand": 92}),
    ],
)
def test_every_cycle_of_every_unit(result: MachineResult, books: Books, unit: str, cycles: dict[str, int]) -> None:
    assert books(result, unit) == cycles


@pytest.mark.parametrize(
    ("counter", "count"),
    [
        ("adds_predictor", 4 * 4),  # a non-zero of P each a row
        ("macs_predictor", 4 * 4 * 4 + 4 * 4 * 4 + 4 * 4 * 4),  # K~, Q~, S~
        ("mask_comparisons", 16),
        ("idle_row_slots", 1),
        ("dram_activates", 4),
        ("dram_row_misses", 4),
        ("dram_row_hits", 6),
        ("dram_read_bursts", 8),
        ("dram_write_bursts", 2),
        # mask bits: a byte a row; plan entries of 2 + 2 bits: a byte a load
        ("mask_buffer_write_bytes", 4 + 3),
        ("mask_buffer_read_bytes", 4 + 2 * 3),
        # X 16, P 4, W~ 16 by DMA; XP 2 * 2 * 4 / 2, K~ 4 * 4 / 2, Q~ 4 * 4 / 2; S~ 16 values of 10 bits in 2 bytes
        ("predictor_buffer_write_bytes", 16 + 4 + 16 + 8 + 8 + 8 + 32),
    ],
)
def test_counters(result: MachineResult, counter: str, count: int) -> None:
    assert result.counters[counter] == count
