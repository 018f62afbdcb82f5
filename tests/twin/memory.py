"""The memory, edge by edge: bursts of open transfers in, legal commands out (rules "Transfers" and "Memory").

At an edge: bursts whose data ended leave; every channel issues at most one command; then as many bursts as there are
channels are admitted, streams round robin. A channel decides as Ramulator 2.1 does, first of:

    a. an activated request whose column command is legal, oldest first;
    b. while a rank is to be refreshed: precharge all its banks if one is open, then refresh, as soon as that is legal
       and no activated request is to use the rank; nothing else but a. happens meanwhile;
    c. the oldest request of the mode's queue whose next command (column, activate or precharge) is legal; a precharge
       waits for activated requests of its bank and for those of the queue, not younger, that hit the open row.

Writes have their turn from when they fill more than 0.8 of their queue or there are no reads, until they are below 0.2
and there are reads. A read of a burst in the write queue is forwarded, a write to one is merged: over an edge later.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

from twin_presets import Chips, distances

QUEUE = 32
NEVER = -(10**9)
OTHER_RANKS = 0


class Place(NamedTuple):
    """A bank; `rank` and `group` are numbered within what holds them."""

    channel: int
    rank: int
    group: int
    bank: int


@dataclass(eq=False)
class Moving:
    """A transfer whose bursts are on their way."""

    owner: Any
    is_write: bool
    unissued: int
    end_edge: int = 0


@dataclass(eq=False)
class Burst:
    """One access: whose it is and where it goes."""

    number: int
    stream: int
    transfer: Moving
    place: Place
    row: int
    arrived: int = 0
    touched: bool = False


@dataclass
class Channel:
    """What a channel's controller remembers."""

    reads: list[Burst] = field(default_factory=list)
    writes: list[Burst] = field(default_factory=list)
    activated: list[Burst] = field(default_factory=list)
    ranks_due: list[int] = field(default_factory=list)
    writing: bool = False


class Use(NamedTuple):
    """How a memory is put together and driven."""

    channels: int
    ranks: int
    mapping: str
    refresh: bool
    page: str
    outstanding: int
    streams: int


class Memory:
    """All channels; edge m is at core time m * ratio."""

    def __init__(self, chips: Chips, use: Use, ratio: Fraction) -> None:
        self.chips, self.use, self.ratio = chips, use, ratio
        self.t = chips.t
        self.spacing = spacing(self.chips, closed_page=use.page == "closed")
        self.next_edge = 0
        self.pointer = 0
        self.to_admit: list[list[Burst]] = [[] for _ in range(use.streams)]
        self.channels = [Channel() for _ in range(use.channels)]
        self.open_rows: dict[Place, int] = {}
        self.last: dict[tuple[str, Hashable], int] = defaultdict(lambda: NEVER)
        self.activates: dict[Hashable, list[int]] = defaultdict(list)
        self.flying: list[tuple[int, int]] = []
        """(end edge, stream) of bursts that are not over."""
        self.busy_cycles: set[int] = set()
        """Core cycles that meet a memory cycle in which a data bus moves."""
        self.finished: list[Moving] = []
        self.counts: Counter[str] = Counter()
        self.commands_of: Counter[tuple[int, str]] = Counter()
        """By channel and command."""
        self.open_edges: Counter[int] = Counter()
        """Of each channel: edges at which it has a row open after its command."""

    # ------------------------------------------------------------------------------------------ the machine's side
    def post(self, owner: Any, stream: int, bursts: Iterable[int], *, is_write: bool) -> None:
        """Take a transfer; it turns up in `finished` as soon as its end is known."""
        numbers = list(bursts)
        transfer = Moving(owner, is_write, len(numbers))
        for number in numbers:
            place, row = self._place(number)
            self.to_admit[stream].append(Burst(number, stream, transfer, place, row))

    def advance(self, cycle: int) -> None:
        """All edges in core cycle `cycle`: those at or after its start and before its end."""
        while self.next_edge * self.ratio.numerator < (cycle + 1) * self.ratio.denominator:
            self._edge(self.next_edge)
            self.next_edge += 1

    def _edge(self, edge: int) -> None:
        self.flying = [(end, stream) for end, stream in self.flying if end > edge]
        for number, channel in enumerate(self.channels):
            if self.use.refresh and edge > 0 and edge % self.t["nREFI"] == 0:
                channel.ranks_due += range(self.use.ranks)
            self._command(number, channel, edge)
        self.open_edges.update({place.channel for place in self.open_rows})
        for _ in self.channels:
            self._admit(edge)

    def _admit(self, edge: int) -> None:
        """One burst of the next stream that has one, is under its limit and finds its queue open."""
        for turn in range(self.use.streams):
            stream = (self.pointer + turn) % self.use.streams
            if self.to_admit[stream] and self._in_memory(stream) < self.use.outstanding:
                burst = self.to_admit[stream][0]
                if self._enter(burst, edge):
                    self.to_admit[stream].pop(0)
                    self.pointer = (stream + 1) % self.use.streams
                    return

    def _enter(self, burst: Burst, edge: int) -> bool:
        channel, write = self.channels[burst.place.channel], burst.transfer.is_write
        if any(other.number == burst.number for other in channel.writes):
            self.counts["merged" if write else "forwarded"] += 1
            self._over(burst, edge + 1)
            return True
        queue = channel.writes if write else channel.reads
        if len(queue) == QUEUE:
            return False
        burst.arrived = edge
        queue.append(burst)
        return True

    def _in_memory(self, stream: int) -> int:
        """Bursts of the stream that are queued or whose data has not all moved."""
        queued = [burst for c in self.channels for line in (c.reads, c.writes, c.activated) for burst in line]
        return sum(burst.stream == stream for burst in queued) + sum(owner == stream for _, owner in self.flying)

    def _place(self, number: int) -> tuple[Place, int]:
        """Where a burst lies, and its row."""
        chips = self.chips
        sizes = {
            "channel": self.use.channels,
            "rank": self.use.ranks,
            "bankgroup": chips.bank_groups,
            "bank": chips.banks_per_group,
            "column": chips.bursts_per_row,
            "row": chips.rows,
        }
        at = {}
        if self.use.mapping == "mop4":
            order = ["channel", "low column", "rank", "bankgroup", "bank", "column", "row"]
            sizes |= {"low column": 4, "column": sizes["column"] // 4}
        else:
            order = self.use.mapping.split("-")[::-1]
            order = [name for name in ("channel", "rank") if name not in order] + order
        for name in order:
            at[name], number = number % sizes[name], number // sizes[name]
        if self.use.mapping == "mop4":
            column = at["low column"] + 4 * at["column"]
            for name in ("rank", "bankgroup", "bank", "row"):
                at[name] ^= column % sizes[name]
                column //= sizes[name]
        return Place(at["channel"], at["rank"], at["bankgroup"], at["bank"]), at["row"]

    # --------------------------------------------------------------------------------------------- the controller
    def _command(self, number: int, channel: Channel, edge: int) -> None:
        """At most one command of a channel."""
        for burst in sorted(channel.activated, key=lambda burst: burst.arrived):
            command = self._next(burst)
            assert command in ("RD", "WR"), f"edge {edge}: an activated burst finds its row closed"
            if self._legal(command, burst.place, edge):
                self._column(channel, channel.activated, burst, edge)
                return
        if channel.ranks_due:
            self._refresh(number, channel, edge)
            return
        if len(channel.writes) > 0.8 * QUEUE or not channel.reads:
            channel.writing = True
        elif len(channel.writes) < 0.2 * QUEUE:
            channel.writing = False
        queue = channel.writes if channel.writing else channel.reads
        for burst in queue:
            command = self._next(burst)
            if self._legal(command, burst.place, edge) and not (
                command == "PRE" and self._row_is_wanted(channel, queue, burst)
            ):
                self._issue(channel, queue, burst, command, edge)
                return

    def _next(self, burst: Burst) -> str:
        """What a request needs next."""
        row = self.open_rows.get(burst.place)
        if row is None:
            return "ACT"
        if row != burst.row:
            return "PRE"
        return "WR" if burst.transfer.is_write else "RD"

    def _row_is_wanted(self, channel: Channel, queue: list[Burst], burst: Burst) -> bool:
        older = [other for other in queue if other.arrived <= burst.arrived and self._next(other) in ("RD", "WR")]
        return any(other.place == burst.place for other in channel.activated + older)

    def _issue(self, channel: Channel, queue: list[Burst], burst: Burst, command: str, edge: int) -> None:
        if command in ("RD", "WR"):
            self._column(channel, queue, burst, edge)
            return
        self._touch(burst, "misses" if command == "ACT" else "conflicts")
        self._record(command, burst.place, edge)
        if command == "PRE":
            del self.open_rows[burst.place]
            return
        self.open_rows[burst.place] = burst.row
        self.activates[burst.place[:2]].append(edge)
        queue.remove(burst)
        channel.activated.append(burst)

    def _column(self, channel: Channel, line: list[Burst], burst: Burst, edge: int) -> None:
        """Read or write a burst of an open row; with a closed page that closes it, unless an activated one needs it."""
        command = "WR" if burst.transfer.is_write else "RD"
        self._touch(burst, "hits")
        self._record(command, burst.place, edge)
        line.remove(burst)
        first = edge + self.t["nCWL" if command == "WR" else "nCL"]
        end = first + self.t["nBL"]
        for cycle in range(first, end):
            self.busy_cycles.update(range(floor(cycle * self.ratio), ceil((cycle + 1) * self.ratio)))
        self._over(burst, end)
        if self.use.page == "closed" and all(other.place != burst.place for other in channel.activated):
            del self.open_rows[burst.place]

    def _over(self, burst: Burst, end: int) -> None:
        """The burst ends at edge `end`."""
        self.flying.append((end, burst.stream))
        burst.transfer.unissued -= 1
        burst.transfer.end_edge = max(burst.transfer.end_edge, end)
        if burst.transfer.unissued == 0:
            self.finished.append(burst.transfer)

    def _refresh(self, number: int, channel: Channel, edge: int) -> None:
        """The next command that the first rank due needs, if it may be issued now."""
        rank = (number, channel.ranks_due[0])
        open_banks = [place for place in self.open_rows if place[:2] == rank]
        command = "PREA" if open_banks else "REF"
        in_use = any(burst.place[:2] == rank for burst in channel.activated)
        if in_use or not self._legal(command, rank, edge):
            return
        self._record(command, rank, edge)
        for place in open_banks:
            del self.open_rows[place]
        if command == "REF":
            channel.ranks_due.pop(0)

    def _touch(self, burst: Burst, kind: str) -> None:
        """A request counts once, at its first command."""
        self.counts[kind] += not burst.touched
        burst.touched = True

    def _record(self, command: str, place: tuple[int, ...], edge: int) -> None:
        """Remember the command for its bank, group, rank and channel."""
        self.counts[command] += 1
        self.commands_of[place[0], command] += 1
        for depth in range(1, len(place) + 1):
            self.last[command, place[:depth]] = edge

    def _legal(self, command: str, place: tuple[int, ...], edge: int) -> bool:
        """Whether every earlier command that stands in the way lies far enough back."""
        for earlier, scope, distance in self.spacing[command]:
            if scope == OTHER_RANKS:
                others = [(place[0], rank) for rank in range(self.use.ranks) if rank != place[1]]
                latest = max((self.last[earlier, other] for other in others), default=NEVER)
            else:
                latest = self.last[earlier, place[:scope]]
            if edge - latest < distance:
                return False
        recent = self.activates[place[:2]][-4:]
        return command != "ACT" or len(recent) < 4 or edge - recent[0] >= self.t["nFAW"]


SCOPES = {"channel": 1, "rank": 2, "group": 3, "bank": 4, "other_rank": OTHER_RANKS}
"""Fields of two places that must agree; for other ranks the channel alone, and the rank must not."""


def spacing(chips: Chips, *, closed_page: bool) -> dict[str, list[tuple[str, int, int]]]:
    """For each command: (earlier command, scope, least distance in memory clock cycles)."""
    found: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for earlier, later, scope, distance in distances(chips, closed_page=closed_page):
        found[later].append((earlier, SCOPES[scope], distance))
    return found
