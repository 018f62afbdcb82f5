"""A run in a few hundred stretches of time: who owned the cycles of each unit in each of them.

The length of a run is not known beforehand, so stretches start at one cycle and double, two neighbours becoming one,
whenever the last one is full: memory is the same for a run of any length, and nothing depends on how it is told.

Each unit's stretches sum to its books, busy and every stall reason (`sim.result`), which tests check.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dsasim.machine.job import Job
from dsasim.machine.spec import UnitSpec
from dsasim.machine.waits import Wait
from dsasim.machine.watcher import BusUse
from dsasim.sim.memory_row import BUSY, memory_row, union
from dsasim.sim.result import STALL_REASONS

OWNERS = (BUSY, *STALL_REASONS)
MAX_BINS = 256
"""Stretches a run is cut into at most; at least half as many, but in runs of fewer cycles."""

Int64 = NDArray[np.int64]
LayerKey = tuple[int, int | None]
"""A layer's number, and its sequence where there are several."""


class OverTime:
    """A watcher that keeps cycles by unit, owner and stretch of time, and DRAM bytes by layer and head."""

    def __init__(self) -> None:
        self.bin_cycles = 1
        self.layer_bytes: Counter[LayerKey] = Counter()
        """DRAM bytes that a layer's attention asked for."""
        self.head_bytes: Counter[tuple[LayerKey, int]] = Counter()
        """Of these, what one query head alone asked for: (layer, head) -> bytes of Q, output, fetched vectors."""
        self._cycles: defaultdict[str, Int64] = defaultdict(_empty)
        self._instances: defaultdict[str, set[str]] = defaultdict(set)
        self._unit_of: dict[str, str] = {}
        self._total = 0

    @property
    def units(self) -> tuple[str, ...]:
        """Units that were told of, lanes together as their unit."""
        return tuple(self._cycles)

    @property
    def num_bins(self) -> int:
        """Stretches that the run reached into."""
        return -(-self._total // self.bin_cycles)

    def cycles(self, unit: str) -> Int64:
        """Cycles int64 [OWNERS, num_bins] of a unit, summed over lanes."""
        return self._cycles[unit][:, : self.num_bins]

    def shares(self, unit: str) -> NDArray[np.float64]:
        """The same as shares of each stretch, which sum to 1; the last stretch may be shorter."""
        starts = self.bin_cycles * np.arange(self.num_bins)
        lengths = np.minimum(self.bin_cycles, self._total - starts) * len(self._instances[unit])
        found: NDArray[np.float64] = self.cycles(unit) / lengths
        return found

    def begin(self, specs: Sequence[UnitSpec]) -> None:
        """Lanes belong to their unit."""
        self._unit_of = {lane: spec.name for spec in specs for lane in spec.lanes}

    def job(self, unit: str, _job: Job, start: int, busy: int, conflict: int, imbalance: int) -> None:
        """Work first, then what was lost, as in a timeline."""
        worked = start + busy
        self._add(unit, BUSY, start, worked)
        self._add(unit, "bank_conflict", worked, worked + conflict)
        self._add(unit, "imbalance", worked + conflict, worked + conflict + imbalance)

    def idle(self, unit: str, waits: Sequence[Wait]) -> None:
        """Each wait has one owner."""
        for wait in waits:
            self._add(unit, *wait)

    def transfer(self, _engine: str, _place: int, job: Job, _start: int, _end: int) -> None:
        """Bytes go to the layer and, where a query head alone wants them, to the head."""
        heads = job.place.heads
        if job.place.layer is None or job.place.phase is not None or job.transfer is None:
            return
        layer = (job.place.layer, job.place.sequence)
        self.layer_bytes[layer] += job.transfer.num_bytes
        if heads is not None and len(heads) == 1:
            self.head_bytes[layer, heads[0]] += job.transfer.num_bytes

    def taken(self, buffer: str, at: int, amount: int) -> None:
        """Not kept."""

    def bus(self, use: BusUse) -> None:
        """The memory's row."""
        for owner, first, end in memory_row(union(use.data.tolist()), union(use.open_transfers), use.total_cycles):
            self._add(use.memory, owner, first, end)

    def _add(self, unit: str, owner: str, start: int, end: int) -> None:
        """Give cycles start .. end - 1 of a unit or lane to an owner."""
        row = self._unit_of.get(unit, unit)
        self._instances[row].add(unit)
        if end <= start:
            return
        self._reach(end)
        width, counts = self.bin_cycles, self._cycles[row][OWNERS.index(owner)]
        first, last = start // width, (end - 1) // width
        if first == last:
            counts[first] += end - start
            return
        counts[first] += (first + 1) * width - start
        counts[first + 1 : last] += width
        counts[last] += end - last * width

    def _reach(self, end: int) -> None:
        """Make room for the cycles before `end`."""
        self._total = max(self._total, end)
        while end > MAX_BINS * self.bin_cycles:
            self.bin_cycles *= 2
            for unit, counts in self._cycles.items():
                folded = counts.reshape(len(OWNERS), MAX_BINS // 2, 2).sum(axis=2)
                self._cycles[unit] = np.concatenate([folded, np.zeros_like(folded)], axis=1)


def _empty() -> Int64:
    return np.zeros((len(OWNERS), MAX_BINS), dtype=np.int64)
