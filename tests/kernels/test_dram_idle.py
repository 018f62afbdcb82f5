"""Refreshes of an idle memory, counted many at once: the same state as if each had been issued."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simpy import Environment
from twin_dram import SlowDram

from dsasim.config.loader import load_arch
from dsasim.kernels import dram as kernel
from dsasim.kernels import dram_commands as controller
from dsasim.kernels import dram_queue as queue
from dsasim.kernels.dram_timing import REFI
from dsasim.machine.watcher import BusUse
from dsasim.model.dram import Dram, Transfer
from dsasim.model.dram_memory import MemoryUse, new_memory
from dsasim.model.dram_preset import load_presets
from dsasim.model.dram_replay import ReplayResult, replay_trace
from dsasim.model.dram_watched import WatchedDram
from dsasim.trace.requests import Requests

MEMORY = (
    "clock_ghz=1",
    "dram.preset=DDR4_2400",
    "dram.channels=1",
    "dram.mapping=row-bank-bankgroup-column-channel",
)
RANDOM = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
OFTEN = {"nREFI": 150, "nRFC": 60}
PRESETS = ("DDR4_2400", "DDR4_3200", "LPDDR5_6400", "GDDR6_14000", "HBM2_2000", "HBM3_6400")
ORDERS = ("row-bank-bankgroup-rank-column", "row-bank-column-rank-bankgroup-channel", "mop4")
RANKED = ("DDR4_2400", "DDR4_3200", "LPDDR5_6400")

Phase = tuple[list[tuple[bool, int]], int, int]
"""Transfers as (is write, first burst), idle intervals after them, and how far into the next one it goes on."""


def designs(channels: list[int], ranks: list[int]) -> st.SearchStrategy[tuple[str, MemoryUse]]:
    """Presets, and memories of them that refresh."""

    def use(preset: str, order: str, channels: int, ranks: int, page: Any) -> tuple[str, MemoryUse]:
        return preset, MemoryUse(order, channels, ranks if preset in RANKED else 1, True, page)

    pages = st.sampled_from(["open", "closed"])
    sizes = st.sampled_from(channels), st.sampled_from(ranks)
    return st.builds(use, st.sampled_from(PRESETS), st.sampled_from(ORDERS), *sizes, pages)


def phases(most: int, *, count: int) -> st.SearchStrategy[list[Phase]]:
    """A few transfers and up to `most` idle intervals, which often end where refreshes have just fallen due."""
    bursts = st.one_of(st.integers(0, 40), st.sampled_from([2048 * row + at for row in range(4) for at in range(3)]))
    transfers = st.lists(st.tuples(st.booleans(), bursts), max_size=6)
    offset = st.one_of(st.integers(-1, 8), st.integers(0, 299))
    phase = st.tuples(transfers, st.integers(0, most), offset)
    return st.lists(phase, min_size=1, max_size=count)


def memory_of(make_dram: Callable[..., Dram], name: str, use: MemoryUse, log_commands: int = 0) -> Dram:
    """A memory that refreshes every 150 cycles."""
    preset = load_presets()[name]
    preset = replace(preset, timing_cycles=preset.timing_cycles | OFTEN)
    dram = make_dram(f"dram.preset={name}", log_commands=0)
    dram.preset, dram.memory = preset, new_memory(preset, use, log_commands)
    return dram


def play(dram: Dram, phase: Phase, step: int) -> list[int]:
    """Transfers, whose ends are returned, and idle time, of which at most `step` cycles pass at once."""
    transfers, *idle = phase
    cycle = int(dram.state.scalars[kernel.CYCLE])
    posted = [Transfer.run(write, burst * dram.preset.access_bytes, 1) for write, burst in transfers]
    owners = {dram._enqueue(0, transfer): number for number, transfer in enumerate(posted)}
    finished = np.empty((3 * 64, 2), np.int64)
    ends: dict[int, int] = {}
    at, remaining = cycle, len(owners)
    while remaining:
        completions, remaining = kernel.advance(dram.memory, dram.state, at, queue.NEVER, finished)
        ends |= {owners[index]: end for index, end in finished[:completions].tolist()}
        at = int(dram.state.scalars[kernel.CYCLE])
    following = next_cycle(dram, cycle, ends, *idle)
    while at < following:
        at = min(following, at + step)
        kernel.catch_up(dram.memory, dram.state, at)
    return [ends[number] for number in range(len(ends))]


def next_cycle(dram: Dram, cycle: int, ends: Mapping[Any, int], intervals: int, offset: int) -> int:
    """When the next phase begins: once all data have moved, so many whole intervals and `offset` cycles later."""
    interval = int(dram.memory.fixed[REFI])
    return (max(cycle, *ends.values(), 0) // interval + 1 + intervals) * interval + offset


def state_of(dram: Dram) -> dict[str, list[Any]]:
    """Everything a memory remembers."""
    parts = dram.memory._replace(log=np.empty(0))._asdict() | dram.state._asdict()
    return {name: part.tolist() for name, part in parts.items()}


@RANDOM
@given(design=designs([1, 2, 3, 8], [1, 2, 8]), given_phases=phases(50, count=4))
def test_all_state_is_as_if_every_refresh_had_been_issued(
    make_dram: Callable[..., Dram], design: tuple[str, MemoryUse], given_phases: list[Phase]
) -> None:
    skips, steps = memory_of(make_dram, *design), memory_of(make_dram, *design)
    less_than_an_interval = int(skips.memory.fixed[REFI]) // 3
    for phase in given_phases:
        assert play(skips, phase, step=10**9) == play(steps, phase, step=less_than_an_interval)
        assert state_of(skips) == state_of(steps)


def play_twin(twin: SlowDram, dram: Dram, phase: Phase, cycle: int) -> tuple[list[int], int]:
    """The same, one cycle after the other, and the cycle after it; `dram` has the sizes of bursts and intervals."""
    transfers, *idle = phase
    begin, owners = cycle, [(cycle, number) for number in range(len(transfers))]
    for owner, (write, burst) in zip(owners, transfers, strict=True):
        twin.post(0, Transfer.run(write, burst * dram.preset.access_bytes, 1), owner)
    while twin.busy:
        twin.tick(cycle)
        cycle += 1
    ends = {owner: twin.ends[owner] for owner in owners}
    for idle_cycle in range(cycle, next_cycle(dram, begin, ends, *idle)):
        twin.tick(idle_cycle)
        cycle = idle_cycle + 1
    return list(ends.values()), cycle


@settings(RANDOM, max_examples=20)
@given(design=designs([1, 2], [1, 2]), given_phases=phases(50, count=2))
def test_ends_and_counts_are_the_twins(
    make_dram: Callable[..., Dram], design: tuple[str, MemoryUse], given_phases: list[Phase]
) -> None:
    name, use = design
    dram, twin = memory_of(make_dram, name, use), SlowDram(name, use, 1, 64, OFTEN)
    cycle = 0
    for phase in given_phases:
        expected, cycle = play_twin(twin, dram, phase, cycle)
        assert play(dram, phase, step=10**9) == expected
    controller.count_open_cycles(dram.memory.channel, dram.memory.counters, cycle)
    found = dram.counts.sum(axis=0)
    fields = {"REF": controller.REFRESHES, "PREA": controller.PRECHARGE_ALLS, "ACT": controller.ACTIVATES}
    assert {key: int(found[at]) for key, at in fields.items()} == {key: twin.counts[key] for key in fields}
    assert dram.counts[:, controller.OPEN_CYCLES].tolist() == [twin.open_edges[c] for c in range(use.channels)]


@RANDOM
@given(design=designs([1, 2, 3], [1, 2, 8]), phase=st.integers(0, 40_000), write=st.booleans())
def test_a_late_request_finds_what_an_earlier_one_finds(design: tuple[str, MemoryUse], phase: int, write: bool) -> None:
    """At the same phase of an interval, 10^12 cycles later, only the number of refreshes and the cycles differ."""
    name, use = design
    preset = load_presets()[name]
    interval = preset.ticks["nREFI"]
    early = 3 * interval + phase
    later = (10**12 - early) // interval * interval

    def at(time: int) -> ReplayResult:
        bursts, times = np.array([0, 1, 4096], np.int64), np.array([0, 0, time], np.int64)
        return replay_trace(preset, use, [Requests(bursts, np.array([0, 1, write], np.uint8), times, 1.0)], 1)

    first, last = at(early), at(early + later)
    ranks = use.ranks * preset.pseudo_channels
    assert last.commands.pop("ref") - first.commands.pop("ref") == later // interval * ranks * use.channels
    assert last.cycles_drained - first.cycles_drained == later
    assert (last.commands, last.avg_read_latency_cycles) == (first.commands, first.avg_read_latency_cycles)
    open_cycles = [[channel["active_cycles"] for channel in result.channels] for result in (first, last)]
    assert open_cycles[0] == open_cycles[1]


def test_a_log_is_filled_before_anything_is_skipped(make_dram: Callable[..., Dram]) -> None:
    """DDR4-2400R every 150 cycles: room for four commands, then 10^6 are counted."""
    dram = memory_of(make_dram, "DDR4_2400", MemoryUse("mop4", refresh=True), log_commands=5)
    kernel.catch_up(dram.memory, dram.state, 150 * 10**6 + 1)
    assert dram.memory.log[0, 0] == dram.counts[0, controller.REFRESHES] == 10**6
    assert dram.memory.log[1:, 0].tolist() == [150, 300, 450, 600]


def test_a_watched_memory_skips_as_well() -> None:
    """Its log is looked at cut by cut, but not of idle stretches: here 10^9 core cycles between two reads."""

    class Bus:
        def bus(self, use: BusUse) -> None:
            self.begins, self.posts = use.data[:, 0].tolist(), [post for post, _ in use.open_transfers]

    env, bus = Environment(), Bus()
    dram = WatchedDram(env, load_arch("dsa-decoupled", (*MEMORY, "dram.refresh=true")), 1, [bus])

    def reads() -> Any:
        yield dram.post(0, Transfer.run(False, 0, 64))
        yield env.timeout(10**9)
        yield dram.post(0, Transfer.run(False, 64, 64))

    env.process(reads())
    env.run()
    dram.finish(2 * 10**9)
    first, second = zip(bus.posts, bus.begins, strict=True)
    assert abs(second[1] - second[0] - (first[1] - first[0])) <= 1  # refreshes closed the row; 0.83 core cycles each
    assert (
        dram.counts[0, controller.REFRESHES]
        == ceil(2 * 10**9 / dram.core_cycles_per_memory_cycle) // dram.memory.fixed[REFI]
    )


def test_refreshes_longer_than_their_interval_are_issued_one_by_one(make_dram: Callable[..., Dram]) -> None:
    """They fall behind: from cycle 150 on one every 160."""
    preset = load_presets()["DDR4_2400"]
    preset = replace(preset, timing_cycles=preset.timing_cycles | {"nREFI": 150, "nRFC": 160})
    dram = make_dram(log_commands=0)
    dram.memory = new_memory(preset, MemoryUse("mop4", refresh=True))
    kernel.catch_up(dram.memory, dram.state, 150 * 100)
    assert dram.counts[0, controller.REFRESHES] == 1 + (150 * 100 - 1 - 150) // 160
