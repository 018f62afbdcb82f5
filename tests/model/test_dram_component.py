"""The memory as a component: ready times in core cycles, order of posts, and what it holds of its own work."""

from collections.abc import Callable
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.machine.transfer import Transfer
from dsasim.model.dram import Dram
from dsasim.model.dram_preset import load_presets
from dsasim.model.memory_map import MemoryMap

ONE_CHANNEL = ("dram.preset=DDR4_2400", "dram.channels=1", "dram.mapping=row-bank-bankgroup-column-channel")


def ready_times(arch: ArchConfig, posts: list[tuple[int, int, Transfer]]) -> tuple[list[int], Dram]:
    """When each of (cycle, stream, transfer) was ready."""
    env = Environment()
    dram = Dram(env, arch, num_streams=3)
    ready = [0] * len(posts)

    def post(at: int, cycle: int, stream: int, transfer: Transfer):
        yield env.timeout(cycle)
        yield dram.post(stream, transfer)
        ready[at] = int(env.now)

    for at, posting in enumerate(posts):
        env.process(post(at, *posting))
    env.run()
    return ready, dram


@pytest.mark.parametrize("clock_ghz", ["0.5", "0.7", "1", "1.2004", "1.3", "3"])
def test_an_unloaded_read_is_ready_at_the_first_core_cycle_after_its_data(
    make_arch: Callable[..., ArchConfig], clock_ghz: str
) -> None:
    """Posted at core cycle 5: admitted at the first memory cycle not before, ends 1 + 16 + 16 + 4 cycles later."""
    cycle = Fraction(833, 1000) * Fraction(clock_ghz)
    ready, _ = ready_times(make_arch(*ONE_CHANNEL, f"clock_ghz={clock_ghz}"), [(5, 0, Transfer.run(False, 0, 64))])
    assert ready == [ceil((ceil(5 / cycle) + 37) * cycle)]


def test_simultaneous_posts_are_taken_by_stream_whatever_their_order(make_arch: Callable[..., ArchConfig]) -> None:
    posts = [(3, stream, Transfer.run(False, 8192 * 16 * stream, 256)) for stream in range(3)]
    ready, _ = ready_times(make_arch(*ONE_CHANNEL), posts)
    reversed_ready, _ = ready_times(make_arch(*ONE_CHANNEL), posts[::-1])
    assert ready == reversed_ready[::-1]
    assert ready == sorted(ready)


def test_one_outstanding_burst_pays_the_whole_latency_each_time(make_arch: Callable[..., ArchConfig]) -> None:
    """A hit after release: admitted at the end cycle 37, RD at 38, ends at 38 + 20 = 58, and so on every 21 cycles."""
    arch = make_arch(*ONE_CHANNEL, "clock_ghz=1", "dma.outstanding_bursts=1")
    ready, _ = ready_times(arch, [(0, 0, Transfer.run(False, 0, 64 * 4))])
    assert ready == [ceil((37 + 3 * 21) * Fraction(833, 1000))]


def test_busy_core_cycles_are_those_in_which_a_bus_moves(make_arch: Callable[..., ArchConfig]) -> None:
    """Data of memory cycles 33 .. 36, 0.833 core cycles each, lie in core cycles 27 (27.489) to 30 (30.821): four."""
    _, dram = ready_times(make_arch(*ONE_CHANNEL, "clock_ghz=1"), [(0, 0, Transfer.run(False, 0, 64))])
    dram.finish(100)
    assert dram.busy_cycles == 4
    assert dram.open_intervals == [(0, 31)]


def test_channels_work_side_by_side(make_arch: Callable[..., ArchConfig]) -> None:
    """Neighbouring bursts on two channels end together: the second is admitted at the same cycle."""
    arch = make_arch(
        "dram.preset=DDR4_2400", "dram.channels=2", "dram.mapping=row-bank-column-bankgroup-channel", "clock_ghz=1"
    )
    ready, _ = ready_times(arch, [(0, 0, Transfer.run(False, 0, 128))])
    assert ready == [ceil(37 * Fraction(833, 1000))]


def test_a_short_transfer_does_not_wait_for_a_long_one(make_arch: Callable[..., ArchConfig]) -> None:
    """512 bursts are on their way; four of another stream, to another bank, take turns with them."""
    arch = make_arch(*ONE_CHANNEL, "clock_ghz=1", "dma.outstanding_bursts=16", "dram.refresh=false")
    long, short = Transfer.run(False, 0, 512 * 64), Transfer.run(False, 1 << 15, 4 * 64)
    (alone,), _ = ready_times(arch, [(0, 0, long)])
    (together, four), _ = ready_times(arch, [(0, 0, long), (100, 1, short)])
    assert four - 100 < 0.1 * alone
    assert alone <= together <= 1.1 * alone


@pytest.mark.parametrize(
    ("memory", "ratio"),
    [
        (("dram.preset=HBM2", "dram.channels=8"), 3),
        (("dram.preset=LPDDR5_6400", "dram.channels=4"), 3),
        (("dram.preset=DDR4_2400", "dram.channels=1"), 1.3),
    ],
    ids=["HBM2", "LPDDR5", "DDR4"],
)
def test_vectors_of_a_head_are_gathered_faster_where_they_lie_together(
    make_arch: Callable[..., ArchConfig], memory: tuple[str, ...], ratio: float
) -> None:
    """A tenth of 4096 vectors of 128 bytes, of one of 32 heads: 4 KiB apart they meet few channels and new rows."""
    rows = np.sort(np.random.default_rng(0).choice(4096, 410, replace=False))
    cycles = []
    for layout in ("head_contiguous", "token_interleaved"):
        arch = make_arch(*memory, f"dram.layout={layout}", "dram.mapping=mop4", "dram.refresh=false", "clock_ghz=1")
        keys = MemoryMap(arch).place(32, 4096, 128)
        (ready,), _ = ready_times(arch, [(0, 0, keys.gather(3, rows))])
        cycles.append(ready)
    assert cycles[1] > ratio * cycles[0]


PACKAGE_BYTES = {
    "DDR4_2400": 8 << 30,
    "DDR4_3200": 8 << 30,
    "LPDDR5_6400": 2 << 30,
    "GDDR6": 512 << 20,
    "HBM2": 2 << 30,
    "HBM3": 1 << 30,
}
"""Of one channel with one rank: eight 8 Gb devices; one of 16 Gb; half of one of 8 Gb; shares of a stack."""
PEAK_GBPS = {"DDR4_2400": 19.2, "DDR4_3200": 25.6, "LPDDR5_6400": 12.8, "GDDR6": 28.0, "HBM2": 32.0, "HBM3": 51.2}


@pytest.mark.parametrize("name", PACKAGE_BYTES)
def test_presets_hold_and_move_what_such_devices_do(name: str) -> None:
    preset = load_presets()[name]
    assert preset.channel_bytes == PACKAGE_BYTES[name]
    assert float(preset.bytes_per_tick / preset.tick_ps * 1000) == pytest.approx(PEAK_GBPS[name], rel=0.003)
    t = preset.timing_cycles
    assert abs(t["nRC"] - t["nRAS"] - t["nRP"]) <= 1
