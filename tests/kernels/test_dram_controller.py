"""The memory controller against its slow twin (tests/twin_dram.py), and what can be said of it by hand."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simpy import Environment
from twin_dram import SlowDram

from dsasim.kernels import dram as kernel
from dsasim.kernels import dram_commands as controller
from dsasim.kernels import dram_queue as queue
from dsasim.machine.transfer import Transfer
from dsasim.model.dram import Dram
from dsasim.model.dram_memory import MemoryUse, new_memory
from dsasim.model.dram_preset import DramPreset, load_presets

# the first call may compile the kernel; the fixture only builds memories, each anew
RANDOM = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
COMMANDS = dict(enumerate(("ACT", "PRE", "RD", "WR", "PREA", "REF", "ACT2")))
COUNTS = {
    "RD": controller.READS,
    "WR": controller.WRITES,
    "ACT": controller.ACTIVATES,
    "PRE": controller.PRECHARGES,
    "PREA": controller.PRECHARGE_ALLS,
    "REF": controller.REFRESHES,
    "hits": controller.HITS,
    "misses": controller.MISSES,
    "conflicts": controller.CONFLICTS,
    "forwarded": controller.FORWARDED,
    "merged": controller.MERGED,
}
ORDERS = (
    "row-bank-bankgroup-rank-column",
    "row-bank-column-rank-bankgroup-channel",
    "row-channel-column-bank-bankgroup-rank",
    "column-row-bankgroup-channel-rank-bank",
    "mop4",
)
NUM_STREAMS = 3
OFTEN = {"nREFI": 400, "nRFC": 60}
LONG = 2500
"""Cycles after which every refresh of a test is told apart from one that is not due yet."""


@dataclass(frozen=True)
class Post:
    """A transfer that a stream hands over at a memory cycle or a core cycle."""

    time: int
    stream: int
    transfer: Transfer


@dataclass
class Outcome:
    """What a memory did."""

    commands: list[tuple[int, str, int, int]] = field(default_factory=list)
    """(cycle, command, bank numbered through all channels, row), channel by channel at a memory cycle."""
    ends: dict[object, int] = field(default_factory=dict)
    """End cycle of each post, by its place in the list."""
    counts: Counter[str] = field(default_factory=Counter)


def by_twin(twin: SlowDram, ratio: Fraction, posts: list[Post], until: int) -> tuple[Outcome, int]:
    """Everything up to `until` or to the last data, whichever is later, and that cycle; `posts` by cycle."""
    waiting = list(enumerate(posts))
    cycle = 0
    while waiting or twin.busy or cycle < until or cycle <= max(twin.moving, default=0):
        while waiting and waiting[0][1].time == cycle:
            number, post = waiting.pop(0)
            twin.post(post.stream, post.transfer, number)
        twin.tick(cycle)
        cycle += 1
        assert cycle < 200_000, "the twin makes no progress"
    core = {at for m in twin.moving for at in range(floor(m * ratio), ceil((m + 1) * ratio))}
    chips = twin.chips
    sizes = (chips.pseudo_channels * twin.use.ranks, chips.stacks, chips.bank_groups, chips.banks_per_group)

    def number_of(place: tuple[int, ...]) -> int:
        at = place[0]
        for size, index in zip(sizes, (*place[1:], 0, 0, 0), strict=False):
            at = at * size + index
        return at

    commands = [
        (cycle, name, number_of(place), -1 if row is None else row) for cycle, name, place, row in twin.commands
    ]
    return Outcome(commands, twin.ends, +(twin.counts + Counter(busy=len(core)))), cycle


def outcome_of(dram: Dram, ends: dict[object, int]) -> Outcome:
    """The kernel's log and counters in the twin's words."""
    log = dram.memory.log[1 : dram.memory.log[0, 0] + 1].tolist()
    banks = len(dram.memory.banks) // len(dram.memory.channel)
    commands = [(cycle, COMMANDS[command], bank, row) for cycle, command, bank, row in log]
    commands.sort(key=lambda command: (command[0], command[2] // banks))
    totals = dram.counts.sum(axis=0)
    counts = Counter({name: int(totals[at]) for name, at in COUNTS.items()}) + Counter(busy=dram.busy_cycles)
    return Outcome(commands, ends, +counts)


def by_kernel(dram: Dram, posts: list[Post], cuts: list[int], until: int = 0) -> Outcome:
    """Post transfers at their cycles and stop the kernel at all `cuts` besides."""
    ends: dict[object, int] = {}
    numbers: dict[int, int] = {}
    finished = np.empty((NUM_STREAMS * 64, 2), np.int64)

    def advance_to(first: int, last: int) -> None:
        remaining = 1
        while remaining and first < last:
            completions, remaining = kernel.advance(dram.memory, dram.state, first, last, finished)
            ends.update({numbers.pop(index): end for index, end in finished[:completions].tolist()})
            first = int(dram.state.scalars[kernel.CYCLE])

    times = sorted({0, *cuts, *(post.time for post in posts)})
    for time, following in zip(times, [*times[1:], queue.NEVER], strict=True):
        for number, post in enumerate(posts):
            if post.time == time:
                numbers[dram._enqueue(post.stream, post.transfer)] = number
        advance_to(time, following)
    kernel.catch_up(dram.memory, dram.state, until or int(dram.state.scalars[kernel.LAST_DATA]))
    return outcome_of(dram, ends)


@st.composite
def transfers(draw: st.DrawFn) -> Transfer:
    """Reads and writes that share banks, rows and bursts, cross bursts, and fill queues."""
    row = draw(st.integers(0, 5)) * 128 * 1024
    base = row + draw(st.sampled_from([0, 0, 64, 100, 8192, 8192 + 60]))
    num_runs = 45 if draw(st.integers(0, 9)) == 0 else draw(st.integers(1, 5))
    sizes = draw(st.lists(st.sampled_from([1, 64, 65, 200]), min_size=num_runs, max_size=num_runs))
    strides = st.sampled_from([0, 1, 64, 100, 384, 8192, 128 * 1024])
    steps = draw(st.one_of(strides.map(lambda stride: [stride] * num_runs), st.lists(strides, min_size=num_runs)))
    starts = base + np.cumsum([0, *steps[: num_runs - 1]])
    return Transfer(draw(st.booleans()), starts.astype(np.int64), np.array(sizes, np.int64))


def posted(latest: int) -> st.SearchStrategy[list[Post]]:
    """Up to 14 transfers by time, those of one time by stream."""
    post = st.builds(Post, st.integers(0, latest), st.integers(0, NUM_STREAMS - 1), transfers())
    return st.lists(post, min_size=1, max_size=14).map(lambda found: sorted(found, key=lambda p: (p.time, p.stream)))


PRESETS = st.sampled_from(["DDR4_2400", "DDR4_3200", "LPDDR5_6400", "GDDR6", "HBM2", "HBM3"])
DESIGNS = st.fixed_dictionaries(
    {
        "preset": PRESETS,
        "channels": st.integers(1, 3),
        "ranks": st.integers(1, 2),
        "order": st.sampled_from(ORDERS),
        "page": st.sampled_from(["open", "open", "closed"]),
        "refresh": st.booleans(),
        "outstanding": st.sampled_from([1, 2, 7, 64]),
        "clock_ghz": st.sampled_from(["0.7", "1", "1.3", "2.4"]),
    }
)


def often_refreshed(name: str) -> DramPreset:
    """The preset with refreshes so short and so frequent that a short run meets several."""
    preset = load_presets()[name]
    return replace(preset, timing_cycles=preset.timing_cycles | OFTEN)


def build(
    make_dram: Callable[..., Dram], design: dict[str, Any], env: Environment | None = None
) -> tuple[Dram, SlowDram]:
    """A memory and its twin."""
    preset = often_refreshed(design["preset"])
    ranks = design["ranks"] if "nCS" in preset.timing_cycles else 1
    use = MemoryUse(design["order"], design["channels"], ranks, design["refresh"], design["page"])
    dram = make_dram(
        f"clock_ghz={design['clock_ghz']}",
        f"dram.preset={design['preset']}",
        f"dma.outstanding_bursts={design['outstanding']}",
        env=env,
    )
    dram.preset, dram.memory = preset, new_memory(preset, use, log_commands=8000)
    return dram, SlowDram(design["preset"], use, NUM_STREAMS, design["outstanding"], OFTEN)


@RANDOM
@given(design=DESIGNS, posts=posted(900), cuts=st.lists(st.integers(0, LONG), max_size=8))
def test_commands_ends_and_counters_equal_their_twin_wherever_it_is_cut(
    make_dram: Callable[..., Dram], design: dict[str, Any], posts: list[Post], cuts: list[int]
) -> None:
    dram, twin = build(make_dram, design)
    expected, until = by_twin(twin, dram.core_cycles_per_memory_cycle, posts, LONG)
    assert by_kernel(dram, posts, cuts, until) == expected


@RANDOM
@given(design=DESIGNS, posts=posted(300), others=st.lists(st.integers(0, 900), max_size=5))
def test_events_post_and_complete_at_the_twins_times(
    make_dram: Callable[..., Dram], design: dict[str, Any], posts: list[Post], others: list[int]
) -> None:
    """Whatever else is on the calendar, a transfer is ready in the first core cycle at or after its end cycle."""
    env = Environment()
    dram, twin = build(make_dram, design, env)
    ready: dict[object, int] = {}

    def post(number: int, posting: Post) -> Any:
        yield env.timeout(posting.time)
        yield dram.post(posting.stream, posting.transfer)
        ready[number] = int(env.now)

    for number, posting in enumerate(posts):
        env.process(post(number, posting))
    for time in others:
        env.timeout(time)
    env.run()
    ratio = dram.core_cycles_per_memory_cycle
    at_cycles = [Post(ceil(posting.time / ratio), posting.stream, posting.transfer) for posting in posts]
    expected, until = by_twin(twin, ratio, at_cycles, LONG)
    assert ready == {number: ceil(end * ratio) for number, end in expected.ends.items()}
    dram.finish(floor(until * ratio))
    found = outcome_of(dram, expected.ends)
    last = ceil(floor(until * ratio) / ratio)
    assert found.commands == [command for command in expected.commands if command[0] < last]


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_cut_at_any_cycle_changes_nothing(make_dram: Callable[..., Dram], cut: int) -> None:
    posts = [
        Post(0, 0, Transfer.run(False, 0, 256)),
        Post(0, 1, Transfer.run(True, 8192, 256)),
        Post(5, 2, Transfer.run(False, 64, 64)),
    ]
    assert by_kernel(make_dram(), posts, [cut]) == by_kernel(make_dram(), posts, [])


def test_an_unloaded_read_takes_one_cycle_and_three_latencies(make_dram: Callable[..., Dram]) -> None:
    """DDR4-2400R: admitted at cycle 0, ACT at 1, RD at 1 + 16, data until 17 + 16 + 4 = 37."""
    found = by_kernel(make_dram(), [Post(0, 0, Transfer.run(False, 0, 64))], [])
    assert found.commands == [(1, "ACT", 0, 0), (17, "RD", 0, 0)]
    assert found.ends == {0: 37}


def test_streams_are_served_in_turn(make_dram: Callable[..., Dram]) -> None:
    """Bursts of streams 0 and 1 enter the queue alternately, so their rows of one bank alternate only by first come."""
    posts = [Post(0, 0, Transfer.run(False, 0, 128)), Post(0, 1, Transfer.run(False, 512, 128))]
    found = by_kernel(make_dram(), posts, [])
    assert found.ends[0] == found.ends[1] - 6  # the last bursts of both, one nCCD_L apart


def test_the_write_queue_drains_when_it_is_fuller_than_four_fifths(make_dram: Callable[..., Dram]) -> None:
    """25 writes wait for the reads to end; the 26th turns the channel around at once."""

    def first_write(count: int) -> int:
        reads, writes = Transfer.run(False, 0, 64 * 100), Transfer.run(True, 128 * 1024 * 8, 64 * count)
        found = by_kernel(make_dram("dma.outstanding_bursts=32"), [Post(0, 0, reads), Post(0, 1, writes)], [])
        commands = [command for _, command, _, _ in found.commands]
        return commands[: commands.index("WR")].count("RD")

    assert first_write(25) == 100
    assert first_write(26) < 60


def test_a_read_of_a_queued_write_is_over_a_cycle_later_and_a_write_to_one_merges(
    make_dram: Callable[..., Dram],
) -> None:
    """The first write waits in its queue for ACT and nRCD; what comes at cycle 3 never reaches the banks."""
    same = Transfer.run(True, 0, 64)
    posts = [Post(0, 0, same), Post(0, 1, same), Post(0, 2, Transfer.run(False, 0, 64))]
    found = by_kernel(make_dram("dram.channels=3"), posts, [])
    assert (found.counts["merged"], found.counts["forwarded"], found.counts["WR"]) == (1, 1, 1)
    assert found.ends == {0: 1 + 16 + 12 + 4, 1: 1, 2: 1}


class TestRefresh:
    """DDR4-2400R: every 9364 cycles; PRE_ALL, nRP = 16 later REF, nRFC = 433 later the next ACT."""

    def test_an_idle_memory_refreshes_at_each_interval(self, make_dram: Callable[..., Dram]) -> None:
        found = by_kernel(make_dram("dram.refresh=true"), [], [], until=9364 * 3 + 1)
        assert found.commands == [(9364 * k, "REF", 0, -1) for k in (1, 2, 3)]

    def test_the_refresh_of_the_last_cycle_counts_and_that_of_the_next_does_not(
        self, make_dram: Callable[..., Dram]
    ) -> None:
        assert by_kernel(make_dram("dram.refresh=true"), [], [], until=9364).counts["REF"] == 0
        assert by_kernel(make_dram("dram.refresh=true"), [], [], until=9365).counts["REF"] == 1

    def test_an_open_row_is_closed_first_and_requests_wait(self, make_dram: Callable[..., Dram]) -> None:
        posts = [Post(0, 0, Transfer.run(False, 0, 64)), Post(9364, 0, Transfer.run(False, 64, 64))]
        found = by_kernel(make_dram("dram.refresh=true"), posts, [])
        assert found.commands[2:] == [
            (9364, "PREA", 0, -1),
            (9380, "REF", 0, -1),
            (9813, "ACT", 0, 0),
            (9829, "RD", 0, 0),
        ]


def test_lpddr5_activates_in_two_steps_and_wakes_its_data_clock(make_dram: Callable[..., Dram]) -> None:
    """ACT-1 at 1, ACT-2 at 2; CAS at 1 + nRCD = 16 and the read at 17, its data until 17 + 17 + 2 = 36."""
    found = by_kernel(make_dram("dram.preset=LPDDR5_6400"), [Post(0, 0, Transfer.run(False, 0, 32))], [])
    assert [command[:2] for command in found.commands] == [(1, "ACT"), (2, "ACT2"), (17, "RD")]
    assert found.ends == {0: 36}


def test_hbm2_issues_a_row_and_a_column_command_at_one_cycle(make_dram: Callable[..., Dram]) -> None:
    """A read at 1 + nRCDRD + 1 = 16 (ACT takes two cycles) while another pseudo-channel is being activated."""
    pseudo_channel = 1 << 5 << 5  # above 32 columns of 32 bytes
    posts = [Post(0, 0, Transfer.run(False, 0, 32)), Post(15, 1, Transfer.run(False, pseudo_channel, 32))]
    found = by_kernel(make_dram("dram.preset=HBM2", "dram.mapping=row-bank-bankgroup-rank-column"), posts, [])
    assert [command[:3] for command in found.commands] == [
        (1, "ACT", 0),
        (16, "RD", 0),
        (16, "ACT", 16),
        (31, "RD", 16),
    ]


def test_a_closed_page_needs_an_act_for_every_access(make_dram: Callable[..., Dram]) -> None:
    """RD at 17 precharges behind itself; the next ACT is nRC = 55 after the first (nRTP + nRP = 25 are over)."""
    found = by_kernel(make_dram("dram.page=closed"), [Post(0, 0, Transfer.run(False, 0, 128))], [])
    assert found.commands == [(1, "ACT", 0, 0), (17, "RD", 0, 0), (56, "ACT", 0, 0), (72, "RD", 0, 0)]


def test_open_cycles_are_those_with_a_row_open(make_dram: Callable[..., Dram]) -> None:
    dram = make_dram("clock_ghz=1.2004")
    by_kernel(dram, [Post(0, 0, Transfer.run(False, 0, 64))], [])
    dram.finish(1000)
    cycles = ceil(1000 / dram.core_cycles_per_memory_cycle)
    assert dram.counts[0, controller.OPEN_CYCLES] == cycles - 1
    dram.finish(1000)
    assert dram.counts[0, controller.OPEN_CYCLES] == cycles - 1
