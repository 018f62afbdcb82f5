"""A phase of dense products on the units, worked out by hand.

2 x 4 PEs of 16 bits; 2 x 4 activations times 4 x 8 weights in two blocks of columns, so two jobs share their
activations. A job is one fold: 4 + 2 R + C - 2 = 10 cycles.

Core and memory clock are equal (1.6 GHz, DDR4-3200). Activations (16 bytes) are at 0 and weights (two blocks of 32
bytes) at 4096, in one row of bank group 0; results at 8192, in bank group 1.

    admitted    activations 0, weights 1 and 2
    RD          ACT 1, then 23, 31 (nCCD_L = 8) and 39; ready nCL + nBL = 26 later: 49, 57, 65
    array       57-67, 67-77
    output      posted 67: ACT 68, WR 90, ends nCWL + nBL = 20 later: 110; posted 77: WR 98, ends 118
"""

from collections.abc import Callable

from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.dense_blocks import Tiling, dense_room
from dsasim.dataflow.dense_layer import Product
from dsasim.model.accelerator import Accelerator
from dsasim.model.dense_phase import DenseWork, PlacedProduct
from dsasim.model.memory_map import MemoryMap
from dsasim.model.unit import Unit
from dsasim.sim.books import dram_counters

SMALL = (
    "clock_ghz=1.6",
    "scheduler.token_parallelism=2",
    "scheduler.tile_rows=2",
    "pe_array.lanes=1",
    "pe_array.macs_per_row=4",
    "dma.open_transfers=2",
    "dram.preset=DDR4_3200",
    "dram.channels=1",
    "dram.mapping=row-bank-bankgroup-column-channel",
)
MakeArch = Callable[..., ArchConfig]


def run(arch: ArchConfig, tiling: Tiling, slots: tuple[int, int, int] = (2, 2, 2)) -> tuple[int, Accelerator]:
    memory, product = MemoryMap(arch), Product("x", 2, 4, 8)
    placed = PlacedProduct(
        product, tiling, memory.place(1, 2, 8), memory.place(1, 1, 4096), memory.place(1, 2, 16), element_bytes=2
    )
    machine = Accelerator(Environment(), arch)
    return machine.run([DenseWork(0, "x", dense_room(arch), (placed,), 1, slots)]), machine


def books(unit: Unit) -> dict[str, int]:
    return {"busy": unit.busy_cycles} | {reason: cycles for reason, cycles in unit.stall_cycles.items() if cycles}


def test_two_jobs_share_their_activations(make_arch: MakeArch) -> None:
    cycles, machine = run(make_arch(*SMALL), Tiling(2, 4, 4, weights_stay=False))
    assert cycles == 118
    assert books(machine.pe_array.lanes[0]) == {"busy": 20, "dram": 57, "drained": 41}
    assert books(machine.dma["q"]) == {"busy": 49, "drained": 69}
    assert books(machine.dma["k"]) == {"busy": 65, "drained": 53}
    assert books(machine.dma["output"]) == {"busy": 51, "operand": 67}
    assert books(machine.predictor) == {"busy": 0, "drained": 118}


def test_with_one_slot_weights_come_when_the_block_before_is_used_up(make_arch: MakeArch) -> None:
    """The second read is posted at 67 and found open: RD 68, ready 94; its job 94-104. The result's write came first.

    The first write ends at 110 as before and frees the only output slot, too late for the second job: 110-120. Its
    write is posted at 120: WR 121, ends 141.
    """
    cycles, machine = run(make_arch(*SMALL), Tiling(2, 4, 4, weights_stay=False), (1, 1, 1))
    assert cycles == 141
    assert books(machine.pe_array.lanes[0]) == {"busy": 20, "dram": 57, "output_full": 43, "drained": 21}


def test_sums_wait_for_the_last_inner_block(make_arch: MakeArch) -> None:
    """All columns at once, the inner dimension in two: 2 jobs of 2 folds of max(2, R) = 2 and 6, one result block."""
    _, machine = run(make_arch(*SMALL), Tiling(2, 2, 8, weights_stay=True))
    assert machine.pe_array.lanes[0].busy_cycles == 2 * (2 * 2 + 6)
    counts = dram_counters(machine.dram)
    assert (counts["dram_read_bursts"], counts["dram_write_bursts"]) == (4, 1)  # two blocks of each operand, one result
