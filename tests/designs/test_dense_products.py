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
from dsasim.designs.dsa.context import STREAMS
from dsasim.designs.dsa.dense_products import DensePhase, PlacedProduct
from dsasim.designs.dsa.design import Dsa
from dsasim.machine.system import System
from dsasim.mappings.dense_blocks import Tiling
from dsasim.mappings.dense_layer import Product
from dsasim.model.dram import Dram
from dsasim.model.memory_map import MemoryMap
from dsasim.sim.unit_reports import dram_counters

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
ONE_SLOT = [f"buffers.{name}.double_buffered=false" for name in ("q", "k", "output")]
MakeArch = Callable[..., ArchConfig]


def run(arch: ArchConfig, tiling: Tiling) -> tuple[int, System, Dram]:
    memory, product = MemoryMap(arch), Product("x", 2, 4, 8)
    placed = PlacedProduct(
        product, tiling, memory.place(1, 2, 8), memory.place(1, 1, 4096), memory.place(1, 2, 16), element_bytes=2
    )
    env = Environment()
    dram = Dram(env, arch, len(STREAMS))
    system = System(env, Dsa(arch).units(), {"dram": dram})
    return system.run([DensePhase(arch, 0, (placed,)).stage(system)]), system, dram


def spent(system: System, unit: str) -> dict[str, int]:
    """Cycles of a unit, or of its first lane, by owner."""
    statistics = system.units[unit].statistics[0]
    stalls = {reason: cycles for reason, cycles in statistics.stall_cycles.items() if cycles}
    return {"busy": statistics.busy_cycles} | stalls


def test_two_jobs_share_their_activations(make_arch: MakeArch) -> None:
    cycles, system, _ = run(make_arch(*SMALL), Tiling(2, 4, 4, weights_stay=False))
    assert cycles == 118
    assert spent(system, "pe_array") == {"busy": 20, "dram": 57, "drained": 41}
    assert spent(system, "dma_q") == {"busy": 49, "drained": 69}
    assert spent(system, "dma_k") == {"busy": 65, "drained": 53}
    assert spent(system, "dma_output") == {"busy": 51, "operand": 67}
    assert spent(system, "predictor") == {"busy": 0, "drained": 118}


def test_with_one_slot_weights_come_when_the_block_before_is_used_up(make_arch: MakeArch) -> None:
    """The second read is posted at 67 and found open: RD 68, ready 94; its job 94-104. The result's write came first.

    The first write ends at 110 as before and frees the only output slot, too late for the second job: 110-120. Its
    write is posted at 120: WR 121, ends 141.
    """
    cycles, system, _ = run(make_arch(*SMALL, *ONE_SLOT), Tiling(2, 4, 4, weights_stay=False))
    assert cycles == 141
    assert spent(system, "pe_array") == {"busy": 20, "dram": 57, "output_full": 43, "drained": 21}


def test_sums_wait_for_the_last_inner_block(make_arch: MakeArch) -> None:
    """All columns at once, the inner dimension in two: 2 jobs of 2 folds of max(2, R) = 2 and 6, one result block."""
    _, system, dram = run(make_arch(*SMALL), Tiling(2, 2, 8, weights_stay=True))
    assert spent(system, "pe_array")["busy"] == 2 * (2 * 2 + 6)
    counts = dram_counters(dram)
    assert (counts["dram_read_bursts"], counts["dram_write_bursts"]) == (4, 1)  # two blocks of each operand, one result
