"""The slow, obvious twin of the memory: every edge, every request and every rule, one after the other.

Other twins may drive it: `post` what a stream hands over at an edge, then `tick` that edge; `ends` tells when a
transfer ends as soon as that is certain. Presets and distances are the twin's own (twin_presets.py).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twin_presets import Chips, chips, distances

COMMANDS = ("ACT", "PRE", "RD", "WR", "PREA", "REF")
Place = tuple[int, ...]
"""Channel, rank, stack, bank group, bank; channel and rank only for commands to a whole rank."""


def related(scope: str, earlier: Place, later: Place) -> bool:
    """Whether a rule of this scope speaks about the two places."""
    if scope == "other_rank":
        return earlier[:1] == later[:1] and earlier[1] != later[1]
    if scope == "other_stack":
        return earlier[:2] == later[:2] and earlier[2] != later[2]
    shared = {"bank": 5, "group": 4, "rank": 2, "channel": 1}[scope]
    return earlier[:shared] == later[:shared]


def place_of(memory: Chips, use: Any, burst: int) -> tuple[Place, int]:
    """Where a burst lies, and its row."""
    sizes = {
        "channel": use.channels,
        "rank": use.ranks * memory.pseudo_channels,
        "stack": memory.stacks,
        "bankgroup": memory.bank_groups,
        "bank": memory.banks_per_group,
        "column": memory.bursts_per_row,
        "row": memory.rows,
    }
    at = dict.fromkeys(sizes, 0)
    indices = ("rank", "stack", "bankgroup", "bank")
    if use.mapping == "mop4":
        at["channel"], burst = burst % sizes["channel"], burst // sizes["channel"]
        low, burst = burst % 4, burst // 4
        for name in indices:
            at[name], burst = burst % sizes[name], burst // sizes[name]
        high, burst = burst % (sizes["column"] // 4), burst // (sizes["column"] // 4)
        at["row"], column = burst % sizes["row"], 4 * high + low
        for name in (*indices, "row"):
            at[name] ^= column % sizes[name]
            column //= sizes[name]
    else:
        order = use.mapping.replace("pseudochannel", "rank").split("-")
        order += [name for name in ("stack", "rank", "channel") if name not in order]
        for name in reversed(order):
            at[name], burst = burst % sizes[name], burst // sizes[name]
    return (at["channel"], *(at[name] for name in indices)), at["row"]


@dataclass(eq=False)
class Burst:
    """One access on its way: where it goes, whose it is, and whether it has had a command."""

    number: int
    place: Place
    row: int
    is_write: bool
    owner: object
    stream: int
    arrived: int
    touched: bool = False


@dataclass
class Channel:
    """What a channel's controller remembers."""

    reads: list[Burst] = field(default_factory=list)
    writes: list[Burst] = field(default_factory=list)
    activated: list[Burst] = field(default_factory=list)
    opening: list[tuple[Burst, int]] = field(default_factory=list)
    """LPDDR5: bursts between ACT-1 and ACT-2, with the last edge for ACT-2."""
    due: list[int] = field(default_factory=list)
    """Ranks to refresh."""
    writing: bool = False
    clock_until: int = 0
    cas_for: tuple[list[Burst], Burst] | None = None


class SlowDram:
    """The whole memory, edge by edge."""

    def __init__(
        self,
        name: str,
        use: Any,
        num_streams: int = 1,
        outstanding: int = 10**9,
        timing: Mapping[str, int] | None = None,
    ) -> None:
        """The preset of this name, some timings replaced; `use`: mapping, channels, ranks, refresh, page."""
        self.chips, self.use, self.outstanding = chips(name, timing), use, outstanding
        self.t = self.chips.t
        rules = distances(self.chips, closed_page=use.page == "closed")
        self.rules = {
            command: [(scope, earlier, ticks) for earlier, later, scope, ticks in rules if later == command]
            for command in COMMANDS
        }
        self.channels = [Channel() for _ in range(use.channels)]
        self.open_rows: dict[Place, int] = {}
        self.last: dict[str, dict[Place, int]] = {command: {} for command in COMMANDS}
        self.acts: dict[Place, list[int]] = {}
        self.to_admit: list[list[tuple[int, bool, object]]] = [[] for _ in range(num_streams)]
        self.on_bus: list[tuple[int, int, int]] = []
        """First edge with data, first without, stream."""
        self.spared: list[tuple[int, int]] = []
        """End and stream of forwarded and merged bursts."""
        self.unissued: Counter[object] = Counter()
        self.pointer = 0
        self.commands: list[tuple[int, str, Place, int | None]] = []
        self.ends: dict[object, int] = {}
        self.counts: Counter[str] = Counter()
        self.open_edges: Counter[int] = Counter()
        """Of each channel: edges at which it has a row open after its commands."""
        self._latest: dict[object, int] = {}

    # ------------------------------------------------------------------------------------------ the machine's side
    def post(self, stream: int, transfer: Any, owner: object) -> None:
        """Cut a transfer into aligned bursts, run by run; one that was the last before is not moved again."""
        size, last = self.chips.access_bytes, -1
        for start, run_bytes in zip(transfer.starts.tolist(), transfer.sizes.tolist(), strict=True):
            for number in range(start // size, (start + run_bytes - 1) // size + 1):
                if number != last:
                    self.to_admit[stream].append((number, transfer.is_write, owner))
                    self.unissued[owner] += 1
                last = number

    @property
    def busy(self) -> bool:
        """Whether a burst has yet to get its column command."""
        return any(self.unissued.values())

    @property
    def moving(self) -> set[int]:
        """Edges at which a data bus moves."""
        return {edge for first, end, _ in self.on_bus for edge in range(first, end)}

    def tick(self, edge: int) -> None:
        """All that happens at an edge."""
        self.issue(edge)
        for _ in self.channels:
            self._admit(edge)

    def _admit(self, edge: int) -> None:
        """One burst of the next stream, round robin, that has one, is under its limit and finds its queue open."""
        streams = len(self.to_admit)
        for turn in range(streams):
            stream = (self.pointer + turn) % streams
            if not self.to_admit[stream] or self._flying(stream, edge) >= self.outstanding:
                continue
            number, is_write, owner = self.to_admit[stream][0]
            if self.offer(number, is_write, owner, edge, stream):
                self.to_admit[stream].pop(0)
                self.pointer = (stream + 1) % streams
                return

    def _flying(self, stream: int, edge: int) -> int:
        moving = sum(end > edge and owner == stream for _, end, owner in self.on_bus)
        spared = sum(end > edge and owner == stream for end, owner in self.spared)
        lines = [line for c in self.channels for line in (c.reads, c.writes, c.activated, [b for b, _ in c.opening])]
        return moving + spared + sum(burst.stream == stream for line in lines for burst in line)

    # --------------------------------------------------------------------------------------------- the controller
    def offer(self, number: int, is_write: bool, owner: object, edge: int, stream: int = 0) -> bool:
        """Whether the memory takes a burst at this edge."""
        place, row = place_of(self.chips, self.use, number)
        channel = self.channels[place[0]]
        if any(burst.number == number for burst in channel.writes):
            self.counts["merged" if is_write else "forwarded"] += 1
            self.spared.append((edge + 1, stream))
            self._ended(owner, edge + 1)
            return True
        line = channel.writes if is_write else channel.reads
        if len(line) == 32:
            return False
        line.append(Burst(number, place, row, is_write, owner, stream, edge))
        return True

    def issue(self, edge: int) -> None:
        """Every channel's commands of an edge."""
        for number, channel in enumerate(self.channels):
            if self.use.refresh and edge > 0 and edge % self.t["nREFI"] == 0:
                channel.due += range(self.use.ranks * self.chips.pseudo_channels)
            {"one": self._one, "row_and_column": self._two, "split_activate": self._split}[self.chips.bus](
                number, channel, edge
            )
        self.open_edges.update(self.open_channels)

    @property
    def open_channels(self) -> set[int]:
        """Channels with a row open, or opening, in any bank."""
        opening = {burst.place[0] for channel in self.channels for burst, _ in channel.opening}
        return opening | {place[0] for place in self.open_rows}

    def _one(self, number: int, channel: Channel, edge: int) -> None:
        if self._activated(channel, edge):
            return
        if channel.due:
            self._refresh(number, channel, edge)
            return
        self._queued(channel, edge, {"ACT", "PRE", "RD", "WR"})

    def _two(self, number: int, channel: Channel, edge: int) -> None:
        rising = self.chips.ticks_per_cycle == 1 or edge % 2 == 1
        if rising and not self._activated(channel, edge) and not channel.due:
            self._queued(channel, edge, {"RD", "WR"})
        if channel.due:
            self._refresh(number, channel, edge, rising=rising)
        else:
            self._queued(channel, edge, {"ACT", "PRE"} if rising else {"PRE"})

    def _split(self, number: int, channel: Channel, edge: int) -> None:
        if channel.opening and channel.opening[0][1] == edge:
            self._second_act(channel, edge)
        elif channel.cas_for is not None:
            line, burst = channel.cas_for
            channel.cas_for = None
            self._access(channel, line, burst, edge)
        else:
            self._split_normally(number, channel, edge)

    def _split_normally(self, number: int, channel: Channel, edge: int) -> None:
        found = self._first(sorted(channel.activated, key=lambda b: b.arrived), channel, edge, {"RD", "WR"})
        line = channel.activated
        if found is None and channel.due:
            if self._refresh(number, channel, edge):
                return
        elif found is None:
            line = self._mode_line(channel)
            found = self._first(
                line, channel, edge, {"PRE", "RD", "WR"} if channel.opening else {"ACT", "PRE", "RD", "WR"}
            )
        if found is None:
            if channel.opening:
                self._second_act(channel, edge)
        elif self._next(found) not in ("RD", "WR"):
            self._prepare(channel, line, found, edge)
        elif edge < channel.clock_until:
            self._access(channel, line, found, edge)
        elif channel.opening and channel.opening[0][1] == edge + 1:
            self._second_act(channel, edge)
        else:
            channel.cas_for = (line, found)

    def _second_act(self, channel: Channel, edge: int) -> None:
        burst, _ = channel.opening.pop(0)
        self.commands.append((edge, "ACT2", burst.place, burst.row))
        self.open_rows[burst.place] = burst.row
        channel.activated.append(burst)

    def _activated(self, channel: Channel, edge: int) -> bool:
        found = self._first(sorted(channel.activated, key=lambda b: b.arrived), channel, edge, {"RD", "WR"})
        if found is not None:
            self._access(channel, channel.activated, found, edge)
        return found is not None

    def _queued(self, channel: Channel, edge: int, allowed: set[str]) -> None:
        line = self._mode_line(channel)
        found = self._first(line, channel, edge, allowed)
        if found is not None:
            step = self._access if self._next(found) in ("RD", "WR") else self._prepare
            step(channel, line, found, edge)

    def _mode_line(self, channel: Channel) -> list[Burst]:
        if channel.writing:
            channel.writing = len(channel.writes) >= 0.2 * 32 or not channel.reads
        else:
            channel.writing = len(channel.writes) > 0.8 * 32 or not channel.reads
        return channel.writes if channel.writing else channel.reads

    def _first(self, line: list[Burst], channel: Channel, edge: int, allowed: set[str]) -> Burst | None:
        """The oldest whose next command is allowed and legal, and if a PRE, takes no row away that is wanted."""
        for burst in line:
            command = self._next(burst)
            if command is None or command not in allowed or not self.legal(command, burst.place, edge):
                continue
            rivals = [other for other in line if other.arrived <= burst.arrived and self._next(other) in ("RD", "WR")]
            wanted = any(other.place == burst.place for other in channel.activated + rivals)
            if command != "PRE" or not wanted:
                return burst
        return None

    def _next(self, burst: Burst) -> str | None:
        if any(burst.place == other.place for other, _ in self.channels[burst.place[0]].opening):
            return None
        row = self.open_rows.get(burst.place)
        if row is None:
            return "ACT"
        return "PRE" if row != burst.row else "WR" if burst.is_write else "RD"

    def _refresh(self, number: int, channel: Channel, edge: int, *, rising: bool = True) -> bool:
        rank = (number, channel.due[0])
        open_banks = [bank for bank in self.open_rows if bank[:2] == rank]
        command = "PREA" if open_banks else "REF"
        users = channel.activated + [burst for burst, _ in channel.opening]
        if any(burst.place[:2] == rank for burst in users) or not self.legal(command, rank, edge):
            return False
        if command == "REF" and not rising:
            return False
        self._record(command, rank, None, edge)
        for bank in open_banks:
            del self.open_rows[bank]
        if command == "REF":
            channel.due.pop(0)
        return True

    def _prepare(self, channel: Channel, line: list[Burst], burst: Burst, edge: int) -> None:
        """ACT or PRE."""
        if self._next(burst) == "PRE":
            self._touch(burst, "conflicts")
            self._record("PRE", burst.place, self.open_rows.pop(burst.place), edge)
            return
        self._touch(burst, "misses")
        self._record("ACT", burst.place, burst.row, edge)
        self.acts.setdefault(burst.place[:2], []).append(edge)
        line.remove(burst)
        if self.chips.bus == "split_activate":
            channel.opening.append((burst, edge + self.t["nAAD"]))
        else:
            self.open_rows[burst.place] = burst.row
            channel.activated.append(burst)

    def _access(self, channel: Channel, line: list[Burst], burst: Burst, edge: int) -> None:
        """Read or write the burst."""
        self._touch(burst, "hits")
        self._record("WR" if burst.is_write else "RD", burst.place, burst.row, edge)
        line.remove(burst)
        first = edge + self.t["nCWL" if burst.is_write else "nCL"]
        end = first + self.t["nBL"]
        channel.clock_until = max(channel.clock_until, end + self.t.get("nWCKPST", 0))
        self.on_bus.append((first, end, burst.stream))
        self._ended(burst.owner, end)
        if self.use.page == "closed" and all(other.place != burst.place for other in channel.activated):
            del self.open_rows[burst.place]

    def _ended(self, owner: object, end: int) -> None:
        self._latest[owner] = max(end, self._latest.get(owner, 0))
        self.unissued[owner] -= 1
        if self.unissued[owner] == 0:
            self.ends[owner] = self._latest[owner]

    def _touch(self, burst: Burst, kind: str) -> None:
        self.counts[kind] += not burst.touched
        burst.touched = True

    def _record(self, command: str, place: Place, row: int | None, edge: int) -> None:
        self.counts[command] += 1
        self.last[command][place] = edge
        self.commands.append((edge, command, place, row))

    def legal(self, command: str, place: Place, edge: int) -> bool:
        """Whether every earlier command that a rule names lies far enough back."""
        for scope, earlier, distance in self.rules[command]:
            for where, when in self.last[earlier].items():
                if edge - when < distance and related(scope, where, place):
                    return False
        recent = self.acts.get(place[:2], [])[-4:]
        return command != "ACT" or len(recent) < 4 or edge - recent[0] >= self.t["nFAW"]
