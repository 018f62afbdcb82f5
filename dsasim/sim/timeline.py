"""A run as a timeline: Chrome trace-event JSON, which https://ui.perfetto.dev and chrome://tracing open.

A row a unit, a lane and a DMA engine, one for each of an engine's transfers that can be open together, and one for the
memory. A row holds what the unit did (named by job, then layer, head and tile) and, between, what it waited for. Where
inside a job a lane loses cycles is not known: bank conflicts and waits for other lanes are drawn at the job's end. The
row of the memory is busy while data is on any bus. Counters: slots taken in each buffer, and bytes a cycle that the
memory moves, over BIN cycles. One microsecond on the screen is one core cycle.

Each row sums to the unit's statistics, busy and every stall reason (`sim.result`), which tests check.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from collections.abc import Sequence
from itertools import groupby
from json.encoder import encode_basestring_ascii as quoted
from types import TracebackType
from typing import IO, Self, TypeAlias

import numpy as np

from dsasim.machine.job import Job
from dsasim.machine.spec import UnitSpec
from dsasim.machine.waits import Wait
from dsasim.machine.watcher import BusUse
from dsasim.sim.memory_row import BUSY, memory_row, union

Window: TypeAlias = tuple[int, int]
"""First and last cycle."""

STALLS = {
    "operand": "rail_idle",
    "bank_conflict": "thread_state_uninterruptible",
    "output_full": "thread_state_runnable",
    "dram": "rail_animation",
    "dependency": "generic_work",
    "imbalance": "yellow",
    "drained": "grey",
}
"""Colours of stalls: those of the old viewer's palette nearest to `report.style`. Perfetto colours events by name, so
there too a reason has one."""

BIN = 256
"""Cycles over which the memory's bandwidth is averaged."""

UNITS, BUFFERS, MEMORY = 1, 2, 3
"""Groups of rows: what the format calls processes."""

FOREVER = 1 << 62
EVENTS_AT_A_TIME = 4096


class Timeline:
    """A watcher that writes to `out`, some thousand events at a time; leaving its context ends the file.

    `window`: what happens outside these cycles is left out, what crosses their ends is cut there.
    """

    def __init__(self, out: IO[bytes], window: Window | None = None) -> None:
        first, last = (0, FOREVER) if window is None else window
        self._out = out
        self._begin, self._end = first, last + 1
        self._rows: dict[str, int] = {}
        self._named: set[str] = set()
        self._levels: dict[str, tuple[int, int]] = {}
        self._shown: dict[str, str] = {}
        self._events = [
            _group(number, name) for number, name in ((UNITS, "units"), (BUFFERS, "buffers"), (MEMORY, "memory"))
        ]
        self._out.write(b'{"displayTimeUnit":"ms","otherData":{"time":"1 us is 1 core cycle"},"traceEvents":[\n')

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for name, (since, taken) in self._levels.items():
                self._count(BUFFERS, name, f'"slots":{taken}', since, FOREVER)
            self._out.write(",\n".join(self._events).encode())
            self._out.write(b"\n]}\n")

    def begin(self, specs: Sequence[UnitSpec]) -> None:
        """Rows in the order of the units, lanes and places of transfers below theirs; Perfetto sorts by number."""
        for spec in specs:
            places = [f"{spec.name} transfer {place}" for place in range(spec.open_transfers if spec.memory else 0)]
            for name in (*(spec.lanes or (spec.name,)), *places):
                self._rows[name] = len(self._rows) + 1

    def job(self, unit: str, job: Job, start: int, busy: int, conflict: int, imbalance: int) -> None:
        """Work first, then what was lost."""
        row, worked = self._row(unit), start + busy
        self._slice(row, job.does if job.transfer else job.name, start, worked, '"cat":"busy"')
        self._stall(row, "bank_conflict", worked, worked + conflict)
        self._stall(row, "imbalance", worked + conflict, worked + conflict + imbalance)

    def idle(self, unit: str, waits: Sequence[Wait]) -> None:
        """An event a wait."""
        row = self._row(unit)
        for wait in waits:
            self._stall(row, *wait)

    def transfer(self, engine: str, place: int, job: Job, start: int, end: int) -> None:
        """An event on the row of the transfer's place."""
        assert job.transfer is not None
        more = f'"cat":"transfer","args":{{"bytes":{job.transfer.num_bytes}}}'
        self._slice(self._row(f"{engine} transfer {place}"), job.name, start, end, more)

    def bus(self, use: BusUse) -> None:
        """The memory's row and its bandwidth."""
        row = self._row(use.memory)
        for owner, first, end in memory_row(union(use.data.tolist()), union(use.open_transfers), use.total_cycles):
            if owner == BUSY:
                self._slice(row, "data", first, end, '"cat":"busy"')
            else:
                self._stall(row, owner, first, end)
        bursts = np.bincount(use.data[:, 0] // BIN, minlength=-(-use.total_cycles // BIN) + 1)
        for count, bins in groupby(enumerate(bursts.tolist()), key=lambda numbered: numbered[1]):
            at = [number for number, _ in bins]
            level = f'"bytes per cycle":{count * use.access_bytes / BIN:.6g}'
            self._count(MEMORY, "bandwidth", level, at[0] * BIN, (at[-1] + 1) * BIN)

    def taken(self, buffer: str, at: int, amount: int) -> None:
        """A counter of the buffer."""
        since, before = self._levels.get(buffer, (at, amount))
        if amount != before:
            self._count(BUFFERS, buffer, f'"slots":{before}', since, at)
            since = at
        self._levels[buffer] = since, amount

    def _row(self, name: str) -> int:
        """The number of a row, which is named when it is first wanted."""
        row = self._rows.setdefault(name, len(self._rows) + 1)
        if name not in self._named:
            self._named.add(name)
            self._events.append(_metadata("thread_name", UNITS, row, f'"name":{quoted(name)}'))
        return row

    def _stall(self, row: int, reason: str, start: int, end: int) -> None:
        if end > start:
            self._slice(row, reason, start, end, f'"cat":"stall","cname":"{STALLS[reason]}"')

    def _slice(self, row: int, name: str, start: int, end: int, more: str) -> None:
        """An event of some cycles, unless none of them is in the window."""
        start, end = max(start, self._begin), min(end, self._end)
        if end > start:
            self._add(
                f'{{"ph":"X","pid":{UNITS},"tid":{row},"ts":{start},"dur":{end - start},"name":{quoted(name)},{more}}}'
            )

    def _count(self, group: int, name: str, level: str, start: int, end: int) -> None:
        """A counter's level in these cycles, unless none of them is in the window."""
        start = max(start, self._begin)
        if min(end, self._end) > start and self._shown.get(name) != level:
            self._shown[name] = level
            self._add(f'{{"ph":"C","pid":{group},"ts":{start},"name":{quoted(name)},"args":{{{level}}}}}')

    def _add(self, event: str) -> None:
        self._events.append(event)
        if len(self._events) >= EVENTS_AT_A_TIME:
            self._out.write(",\n".join(self._events).encode())
            self._events = [""]  # so that the next stretch begins with a comma


def _group(number: int, name: str) -> str:
    sort = _metadata("process_sort_index", number, 0, f'"sort_index":{number}')
    return _metadata("process_name", number, 0, f'"name":"{name}"') + ",\n" + sort


def _metadata(kind: str, group: int, row: int, fact: str) -> str:
    return f'{{"ph":"M","pid":{group},"tid":{row},"name":"{kind}","args":{{{fact}}}}}'
