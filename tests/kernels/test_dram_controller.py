"""The memory controller against a twin that looks at every edge, every request and every rule, one after the other."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simpy import Environment

from dsasim.kernels import dram as kernel
from dsasim.kernels import dram_queue as queue
from dsasim.model.dram import Dram, Transfer

# the first call may compile the kernel; the fixture only builds memories, each anew
RANDOM = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
COMMANDS = {queue.LOG_ACT: "ACT", queue.LOG_PRE: "PRE", queue.LOG_RD: "RD", queue.LOG_WR: "WR"}
ORDERS = (
    "row-bank-bankgroup-column-channel",
    "row-bank-column-bankgroup-channel",
    "row-channel-column-bank-bankgroup",
    "column-row-bankgroup-channel-bank",
)
NUM_STREAMS = 3
Place = tuple[int, int, int]
"""Channel, bank group in the channel, bank in the group."""


@dataclass
class Burst:
    """One access on its way: where it goes, whose it is, and whether it has had a command."""

    place: Place
    row: int
    is_write: bool
    transfer: int
    stream: int
    touched: bool = False


@dataclass(frozen=True)
class Post:
    """A transfer that a stream hands over at an edge or a core cycle."""

    time: int
    stream: int
    transfer: Transfer


@dataclass
class Outcome:
    """What a memory did."""

    commands: list[tuple[int, str, int, int]] = field(default_factory=list)
    """(edge, command, bank numbered through all channels, row)."""
    ends: dict[int, int] = field(default_factory=dict)
    """End edge of each post, by its place in the list."""
    counts: Counter[str] = field(default_factory=Counter)


class Twin:
    """The whole memory, edge by edge."""

    def __init__(self, dram: Dram, order: str, channels: int, outstanding: int, ratio: Fraction) -> None:
        self.preset, self.channels, self.outstanding, self.ratio = dram.preset, channels, outstanding, ratio
        sizes = {"channel": channels, "bankgroup": 4, "bank": 4, "column": 128, "row": 65536}
        self.fields = [(name, sizes[name]) for name in reversed(order.split("-"))]
        self.open_rows: dict[Place, int] = {}
        self.last: dict[tuple[object, ...], int] = {}
        self.activates: dict[int, list[int]] = {channel: [] for channel in range(channels)}
        self.queues: dict[tuple[int, str], list[Burst]] = {
            (channel, name): [] for channel in range(channels) for name in ("reads", "writes", "activated")
        }
        self.writing = dict.fromkeys(range(channels), False)
        self.to_admit: list[list[Burst]] = [[] for _ in range(NUM_STREAMS)]
        self.on_bus: list[tuple[int, int, int]] = []
        self.unissued: Counter[int] = Counter()
        self.pointer = 0
        self.did = Outcome()

    def run(self, posts: list[Post]) -> Outcome:
        """Everything from edge 0 to the last data; `posts` by edge."""
        waiting = list(enumerate(posts))
        edge = 0
        while waiting or sum(self.unissued.values()):
            while waiting and waiting[0][1].time == edge:
                self._take(*waiting.pop(0))
            for channel in range(self.channels):
                self._command(channel, edge)
            for _ in range(self.channels):
                self._admit(edge)
            edge += 1
        moving = {cycle for first, end, _ in self.on_bus for cycle in range(first, end)}
        core = {at for m in moving for at in range(floor(m * self.ratio), ceil((m + 1) * self.ratio))}
        self.did.counts["busy"] = len(core)
        return self.did

    def _take(self, number: int, post: Post) -> None:
        """Cut a transfer into aligned bursts, run by run; one that was the last before is not moved again."""
        size, last = self.preset.access_bytes, -1
        for start, run_bytes in zip(post.transfer.starts.tolist(), post.transfer.sizes.tolist(), strict=True):
            for burst in range(start // size, (start + run_bytes - 1) // size + 1):
                if burst != last:
                    place = self._place(burst)
                    bank = (place["channel"], place["bankgroup"], place["bank"])
                    write = post.transfer.is_write
                    self.to_admit[post.stream].append(Burst(bank, place["row"], write, number, post.stream))
                    self.unissued[number] += 1
                last = burst

    def _place(self, burst: int) -> dict[str, int]:
        place = {}
        for name, size in self.fields:
            place[name] = burst % size
            burst //= size
        return place

    def _admit(self, edge: int) -> None:
        """One burst of the next stream, round robin, that has one, is under its limit and finds its queue open."""
        for turn in range(NUM_STREAMS):
            stream = (self.pointer + turn) % NUM_STREAMS
            flying = sum(end > edge for _, end, owner in self.on_bus if owner == stream)
            queued = sum(burst.stream == stream for bursts in self.queues.values() for burst in bursts)
            if not self.to_admit[stream] or flying + queued >= self.outstanding:
                continue
            burst = self.to_admit[stream][0]
            line = self.queues[burst.place[0], "writes" if burst.is_write else "reads"]
            if len(line) < 32:
                line.append(self.to_admit[stream].pop(0))
                self.pointer = (stream + 1) % NUM_STREAMS
                return

    def _command(self, channel: int, edge: int) -> None:
        activated, reads, writes = (self.queues[channel, name] for name in ("activated", "reads", "writes"))
        if any(self._column(activated, burst, edge) for burst in activated):
            return
        if len(writes) > 0.8 * 32 or not reads:
            self.writing[channel] = True
        elif len(writes) < 0.2 * 32:
            self.writing[channel] = False
        line = writes if self.writing[channel] else reads
        if any(self._column(line, burst, edge) for burst in line):
            return
        for burst in line:
            row = self.open_rows.get(burst.place)
            if row is None and self._legal("ACT", burst.place, edge):
                self._touch(burst, "misses")
                self.open_rows[burst.place] = burst.row
                self.activates[channel].append(edge)
                self._record("ACT", burst.place, burst.row, edge)
                line.remove(burst)
                activated.append(burst)
                return
            wanted = any(other.place == burst.place and other.row == row for other in line + activated)
            if row not in (None, burst.row) and not wanted and self._legal("PRE", burst.place, edge):
                self._touch(burst, "conflicts")
                del self.open_rows[burst.place]
                self._record("PRE", burst.place, row, edge)
                return

    def _column(self, line: list[Burst], burst: Burst, edge: int) -> bool:
        """Read or write the burst if its row is open and the command legal."""
        command = "WR" if burst.is_write else "RD"
        if self.open_rows.get(burst.place) != burst.row or not self._legal(command, burst.place, edge):
            return False
        self._touch(burst, "hits")
        self._record(command, burst.place, burst.row, edge)
        line[:] = [other for other in line if other is not burst]
        t = self.preset.timing_cycles
        first = edge + t["nCWL" if burst.is_write else "nCL"]
        end = first + t["nBL"]
        self.on_bus.append((first, end, burst.stream))
        self.unissued[burst.transfer] -= 1
        self.did.ends[burst.transfer] = max(end, self.did.ends.get(burst.transfer, 0))
        return True

    def _touch(self, burst: Burst, kind: str) -> None:
        self.did.counts[kind] += not burst.touched
        burst.touched = True

    def _record(self, command: str, place: Place, row: int, edge: int) -> None:
        self.did.counts[command] += 1
        for scope in (place, place[:2], place[:1]):
            self.last[command, scope] = edge
        self.did.commands.append((edge, command, (place[0] * 4 + place[1]) * 4 + place[2], row))

    def _legal(self, command: str, bank: Place, edge: int) -> bool:
        """Whether every earlier command of the bank, its group and its channel lies far enough back."""
        t = self.preset.timing_cycles
        group, channel = bank[:2], bank[:1]
        data_written = t["nCWL"] + t["nBL"]
        distances = {
            "ACT": [
                (("ACT", bank), t["nRC"]),
                (("PRE", bank), t["nRP"]),
                (("ACT", group), t["nRRDL"]),
                (("ACT", channel), t["nRRDS"]),
            ],
            "PRE": [
                (("ACT", bank), t["nRAS"]),
                (("RD", bank), t["nRTP"]),
                (("WR", bank), data_written + t["nWR"]),
            ],
            "RD": [
                (("ACT", bank), t["nRCD"]),
                (("RD", group), t["nCCDL"]),
                (("RD", channel), t["nCCDS"]),
                (("WR", group), data_written + t["nWTRL"]),
                (("WR", channel), data_written + t["nWTRS"]),
            ],
            "WR": [
                (("ACT", bank), t["nRCD"]),
                (("WR", group), t["nCCDL"]),
                (("WR", channel), t["nCCDS"]),
                (("RD", channel), t["nCL"] + t["nBL"] + 2 - t["nCWL"]),
            ],
        }
        if any(edge - self.last.get(earlier, -1000) < distance for earlier, distance in distances[command]):
            return False
        recent = self.activates[bank[0]][-4:]
        return command != "ACT" or len(recent) < 4 or edge - recent[0] >= t["nFAW"]


def outcome_of(dram: Dram, ends: dict[int, int]) -> Outcome:
    """The kernel's log and counters in the twin's words."""
    counts = dram.counters()
    log = dram.state.log[1 : dram.state.log[0, 0] + 1].tolist()
    names = ("RD", "WR", "ACT", "PRE", "hits", "misses", "conflicts", "busy")
    commands = [(edge, COMMANDS[command], bank, row) for edge, command, bank, row in log]
    return Outcome(commands, ends, Counter({name: count for name, count in zip(names, counts, strict=True) if count}))


def by_kernel(dram: Dram, posts: list[Post], cuts: list[int]) -> Outcome:
    """Post transfers at their edges and stop the kernel at all `cuts` besides."""
    ends: dict[int, int] = {}
    numbers: dict[int, int] = {}
    finished = np.empty((NUM_STREAMS * 64, 2), np.int64)

    def advance_to(first: int, last: int) -> None:
        remaining = 1
        while remaining and first < last:
            completions, remaining = kernel.advance(dram.state, first, last, finished)
            ends.update({numbers.pop(index): end for index, end in finished[:completions].tolist()})
            first = int(dram.state.scalars[kernel.EDGE])

    times = sorted({0, *cuts, *(post.time for post in posts)})
    for time, following in zip(times, [*times[1:], queue.NEVER], strict=True):
        for number, post in enumerate(posts):
            if post.time == time:
                numbers[dram._enqueue(post.stream, post.transfer)] = number
        advance_to(time, following)
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


DESIGNS = st.fixed_dictionaries(
    {
        "preset": st.sampled_from(["DDR4_2400", "DDR4_3200"]),
        "channels": st.integers(1, 3),
        "order": st.sampled_from(ORDERS),
        "outstanding": st.sampled_from([1, 2, 7, 64]),
        "clock_ghz": st.sampled_from(["0.7", "1", "1.3", "2.4"]),
    }
)


def build(make_dram: Callable[..., Dram], design: dict[str, Any], env: Environment | None = None) -> tuple[Dram, Twin]:
    """A memory and its twin."""
    dram = make_dram(
        f"clock_ghz={design['clock_ghz']}",
        f"dram.preset={design['preset']}",
        f"dram.channels={design['channels']}",
        f"dram.mapping={design['order']}",
        f"dma.outstanding_bursts={design['outstanding']}",
        env=env,
    )
    ratio = Fraction(dram.preset.tck_ps, 1000) * Fraction(design["clock_ghz"])
    return dram, Twin(dram, design["order"], design["channels"], design["outstanding"], ratio)


@RANDOM
@given(design=DESIGNS, posts=posted(300), cuts=st.lists(st.integers(0, 900), max_size=8))
def test_commands_ends_and_counters_equal_their_twin_wherever_it_is_cut(
    make_dram: Callable[..., Dram], design: dict[str, Any], posts: list[Post], cuts: list[int]
) -> None:
    dram, twin = build(make_dram, design)
    assert by_kernel(dram, posts, cuts) == twin.run(posts)


@RANDOM
@given(design=DESIGNS, posts=posted(300), others=st.lists(st.integers(0, 900), max_size=5))
def test_events_post_and_complete_at_the_twins_times(
    make_dram: Callable[..., Dram], design: dict[str, Any], posts: list[Post], others: list[int]
) -> None:
    """Whatever else is on the calendar, a transfer is ready in the first core cycle at or after its end edge."""
    env = Environment()
    dram, twin = build(make_dram, design, env)
    ready: dict[int, int] = {}

    def post(number: int, posting: Post) -> Any:
        yield env.timeout(posting.time)
        yield dram.post(posting.stream, posting.transfer)
        ready[number] = int(env.now)

    for number, posting in enumerate(posts):
        env.process(post(number, posting))
    for time in others:
        env.timeout(time)
    env.run()
    at_edges = [Post(ceil(posting.time / twin.ratio), posting.stream, posting.transfer) for posting in posts]
    expected = twin.run(at_edges)
    assert ready == {number: ceil(end * twin.ratio) for number, end in expected.ends.items()}
    assert outcome_of(dram, expected.ends) == expected


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_cut_at_any_edge_changes_nothing(make_dram: Callable[..., Dram], cut: int) -> None:
    posts = [
        Post(0, 0, Transfer.run(False, 0, 256)),
        Post(0, 1, Transfer.run(True, 8192, 256)),
        Post(5, 2, Transfer.run(False, 64, 64)),
    ]
    assert by_kernel(make_dram(), posts, [cut]) == by_kernel(make_dram(), posts, [])


def test_an_unloaded_read_takes_one_edge_and_three_latencies(make_dram: Callable[..., Dram]) -> None:
    """DDR4-2400R: admitted at edge 0, ACT at 1, RD at 1 + 16, data until 17 + 16 + 4 = 37."""
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
