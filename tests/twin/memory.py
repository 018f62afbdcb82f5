"""The memory, edge by edge: bursts of open transfers in, legal commands out (rules "Transfers" and "Memory").

At an edge: bursts whose data ended leave; every channel issues at most one command; then one burst a channel is
admitted, streams round robin. A channel decides as Ramulator 2.1 does (FR-FCFS, row hits first):

    a. an activated request whose column command is legal, oldest first;
    b. else a request of the mode's queue whose row is open and whose column command is legal, oldest first;
    c. else the oldest of that queue whose closed bank may be activated, or whose bank holds another row that may be
       precharged and that no activated request and none of this queue wants.

Writes have their turn while they fill more than 0.8 of their queue or there are no reads, until they are below 0.2.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

QUEUE = 32
NEVER = -(10**9)
Bank = tuple[int, int, int]
"""Channel, bank group in the channel, bank in the group."""


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

    stream: int
    transfer: Moving
    bank: Bank
    row: int
    touched: bool = False


class Memory:
    """All channels; edge m is at core time m * ratio."""

    def __init__(
        self, preset: dict[str, Any], channels: int, mapping: str, outstanding: int, ratio: Fraction, streams: int
    ) -> None:
        self.channels, self.outstanding, self.ratio = channels, outstanding, ratio
        sizes = {
            "channel": channels,
            "bankgroup": preset["bank_groups"],
            "bank": preset["banks_per_group"],
            "column": preset["columns"] // 8,
            "row": preset["rows"],
        }
        self.fields = [(name, sizes[name]) for name in reversed(mapping.split("-"))]
        self.t: dict[str, int] = preset["timing_cycles"]
        self.spacing = _spacing(self.t)
        self.next_edge = 0
        self.pointer = 0
        self.to_admit: list[list[Burst]] = [[] for _ in range(streams)]
        self.reads: list[list[Burst]] = [[] for _ in range(channels)]
        self.writes: list[list[Burst]] = [[] for _ in range(channels)]
        self.activated: list[list[Burst]] = [[] for _ in range(channels)]
        self.writing = [False] * channels
        self.open_rows: dict[Bank, int] = {}
        self.last: dict[tuple[str, Hashable], int] = defaultdict(lambda: NEVER)
        self.activates: list[list[int]] = [[] for _ in range(channels)]
        self.flying: list[tuple[int, Burst]] = []
        """(end edge, burst) of data that has not all moved."""
        self.busy_cycles: set[int] = set()
        """Core cycles that meet a memory cycle in which a data bus moves."""
        self.finished: list[Moving] = []
        self.counts: Counter[str] = Counter()

    def post(self, owner: Any, stream: int, bursts: Iterable[int], *, is_write: bool) -> None:
        """Take a transfer; its owner turns up in `finished` when its last column command has been issued."""
        numbers = list(bursts)
        transfer = Moving(owner, is_write, len(numbers))
        for number in numbers:
            place, rest = {}, number
            for name, size in self.fields:
                place[name], rest = rest % size, rest // size
            bank = (place["channel"], place["bankgroup"], place["bank"])
            self.to_admit[stream].append(Burst(stream, transfer, bank, place["row"]))

    def advance(self, cycle: int) -> None:
        """All edges in core cycle `cycle`: those at or after its start and before its end."""
        while self.next_edge * self.ratio < cycle + 1:
            self._edge(self.next_edge)
            self.next_edge += 1

    @property
    def has_work(self) -> bool:
        """Whether a burst waits to be issued."""
        return any(self.to_admit) or any(map(any, (self.reads, self.writes, self.activated)))

    def _edge(self, edge: int) -> None:
        if not self.has_work:
            return
        self.flying = [(end, burst) for end, burst in self.flying if end > edge]
        for channel in range(self.channels):
            self._command(channel, edge)
        for _ in range(self.channels):
            self._admit()

    def _admit(self) -> None:
        """One burst of the next stream that has one, is under its limit and finds its queue open."""
        for turn in range(len(self.to_admit)):
            stream = (self.pointer + turn) % len(self.to_admit)
            if not self.to_admit[stream] or self._in_memory(stream) >= self.outstanding:
                continue
            burst = self.to_admit[stream][0]
            queue = (self.writes if burst.transfer.is_write else self.reads)[burst.bank[0]]
            if len(queue) < QUEUE:
                queue.append(self.to_admit[stream].pop(0))
                self.pointer = (stream + 1) % len(self.to_admit)
                return

    def _in_memory(self, stream: int) -> int:
        """Bursts of the stream that are queued or whose data has not all moved."""
        queued = [burst for lines in (self.reads, self.writes, self.activated) for line in lines for burst in line]
        return sum(burst.stream == stream for burst in [*queued, *(burst for _, burst in self.flying)])

    def _command(self, channel: int, edge: int) -> None:
        """At most one command of the channel."""
        reads, writes, activated = self.reads[channel], self.writes[channel], self.activated[channel]
        if any(self._column(activated, burst, edge) for burst in activated):
            return
        if len(writes) > 0.8 * QUEUE or not reads:
            self.writing[channel] = True
        elif len(writes) < 0.2 * QUEUE:
            self.writing[channel] = False
        queue = writes if self.writing[channel] else reads
        if any(self._column(queue, burst, edge) for burst in queue):
            return
        any(self._open_row(queue, burst, edge) for burst in queue)

    def _column(self, line: list[Burst], burst: Burst, edge: int) -> bool:
        """Read or write the burst if its row is open and that is legal now."""
        command = "WR" if burst.transfer.is_write else "RD"
        if self.open_rows.get(burst.bank) != burst.row or not self._legal(command, burst.bank, edge):
            return False
        self._touch(burst, "hits")
        self._record(command, burst.bank, edge)
        line[:] = [other for other in line if other is not burst]
        first = edge + self.t["nCWL" if command == "WR" else "nCL"]
        end = first + self.t["nBL"]
        self.flying.append((end, burst))
        for cycle in range(first, end):
            self.busy_cycles.update(range(floor(cycle * self.ratio), ceil((cycle + 1) * self.ratio)))
        burst.transfer.unissued -= 1
        burst.transfer.end_edge = max(burst.transfer.end_edge, end)
        if burst.transfer.unissued == 0:
            self.finished.append(burst.transfer)
        return True

    def _open_row(self, queue: list[Burst], burst: Burst, edge: int) -> bool:
        """Activate the burst's row, or precharge what nobody here wants any more."""
        row = self.open_rows.get(burst.bank)
        if row is None and self._legal("ACT", burst.bank, edge):
            self._touch(burst, "misses")
            self._record("ACT", burst.bank, edge)
            self.open_rows[burst.bank] = burst.row
            self.activates[burst.bank[0]].append(edge)
            queue[:] = [other for other in queue if other is not burst]
            self.activated[burst.bank[0]].append(burst)
            return True
        wanted = any(o.bank == burst.bank and o.row == row for o in [*queue, *self.activated[burst.bank[0]]])
        if row not in (None, burst.row) and not wanted and self._legal("PRE", burst.bank, edge):
            self._touch(burst, "conflicts")
            self._record("PRE", burst.bank, edge)
            del self.open_rows[burst.bank]
            return True
        return False

    def _touch(self, burst: Burst, kind: str) -> None:
        """A request counts once, at its first command."""
        self.counts[kind] += not burst.touched
        burst.touched = True

    def _record(self, command: str, bank: Bank, edge: int) -> None:
        self.counts[command] += 1
        for scope in (bank, bank[:2], bank[:1]):
            self.last[command, scope] = edge

    def _legal(self, command: str, bank: Bank, edge: int) -> bool:
        """Whether every earlier command of the bank, its group and its channel lies far enough back."""
        for earlier, depth, distance in self.spacing[command]:
            if edge - self.last[earlier, bank[:depth]] < distance:
                return False
        recent = self.activates[bank[0]][-4:]
        return command != "ACT" or len(recent) < 4 or edge - recent[0] >= self.t["nFAW"]


def _spacing(t: dict[str, int]) -> dict[str, list[tuple[str, int, int]]]:
    """For each command: (earlier command, scope, least distance); scope 3 = same bank, 2 = group, 1 = channel."""
    written = t["nCWL"] + t["nBL"]
    return {
        "ACT": [("ACT", 3, t["nRC"]), ("PRE", 3, t["nRP"]), ("ACT", 2, t["nRRDL"]), ("ACT", 1, t["nRRDS"])],
        "PRE": [("ACT", 3, t["nRAS"]), ("RD", 3, t["nRTP"]), ("WR", 3, written + t["nWR"])],
        "RD": [
            ("ACT", 3, t["nRCD"]),
            ("RD", 2, t["nCCDL"]),
            ("RD", 1, t["nCCDS"]),
            ("WR", 2, written + t["nWTRL"]),
            ("WR", 1, written + t["nWTRS"]),
        ],
        "WR": [
            ("ACT", 3, t["nRCD"]),
            ("WR", 2, t["nCCDL"]),
            ("WR", 1, t["nCCDS"]),
            ("RD", 1, t["nCL"] + t["nBL"] + 2 - t["nCWL"]),
        ],
    }
