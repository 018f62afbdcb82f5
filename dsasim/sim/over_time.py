"""A run in a few hundred stretches of time: who owned the cycles of each unit in each of them.

The length of a run is not known beforehand, so stretches start at one cycle and double, two neighbours becoming one,
whenever the last one is full: memory is the same for a run of any length, and nothing depends on how it is told.

Each unit's stretches sum to its books, busy and every stall reason (`sim.result`), which tests check.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.model.dram import Dram, Transfer
from dsasim.model.dram_watched import WatchedDram
from dsasim.model.operands import Slots
from dsasim.model.probe import Name
from dsasim.model.waits import Wait
from dsasim.sim.memory_row import BUSY, memory_row, union
from dsasim.sim.result import STALL_REASONS

OWNERS = (BUSY, *STALL_REASONS)
MAX_BINS = 256
"""Stretches a run is cut into at most; at least half as many, but in runs of fewer cycles."""

DENSE_PRODUCT = "block "
"""How the names of transfers around attention begin (`model.dense_phase`)."""

Int64 = NDArray[np.int64]


class OverTime:
    """A probe that keeps cycles by unit, owner and stretch of time, and DRAM bytes by layer and head."""

    def __init__(self) -> None:
        self.bin_cycles = 1
        self.layer_bytes: Counter[int] = Counter()
        """DRAM bytes that a layer's attention asked for."""
        self.head_bytes: Counter[tuple[int, int]] = Counter()
        """Of these, what one query head alone asked for: (layer, head) -> bytes of Q, output, fetched vectors."""
        self._cycles: defaultdict[str, Int64] = defaultdict(_empty)
        self._instances: defaultdict[str, set[str]] = defaultdict(set)
        self._total = 0

    @property
    def units(self) -> tuple[str, ...]:
        """Units that were told of, lanes together as `pe_array`."""
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

    def job(self, unit: str, _name: Name, start: int, busy: int, conflict: int, imbalance: int) -> None:
        """Work first, then what was lost, as in a timeline."""
        worked = start + busy
        self._add(unit, BUSY, start, worked)
        self._add(unit, "bank_conflict", worked, worked + conflict)
        self._add(unit, "imbalance", worked + conflict, worked + conflict + imbalance)

    def idle(self, unit: str, waits: Sequence[Wait]) -> None:
        """Each wait has one owner."""
        for wait in waits:
            self._add(unit, *wait)

    def transfer(self, _engine: str, _place: int, name: str, _start: int, _end: int, moved: Transfer) -> None:
        """Bytes go to the layer and, where a query head alone wants them, to the head."""
        layer = re.search(r"\blayer (\d+)", name)
        if layer is None or name.startswith(DENSE_PRODUCT):
            return
        self.layer_bytes[int(layer[1])] += moved.num_bytes
        if head := re.search(r"(?<!kv )\bhead (\d+)(?!\d*,)", name):
            self.head_bytes[int(layer[1]), int(head[1])] += moved.num_bytes

    def bus(self, data: Int64, open_transfers: Sequence[tuple[int, int]], total_cycles: int) -> None:
        """The memory's row."""
        for owner, first, end in memory_row(union(data.tolist()), union(open_transfers), total_cycles):
            self._add("dram", owner, first, end)

    def slots(self, env: Environment, name: str, count: int) -> Slots:
        """Plain slots."""
        return Slots(env, name, count)

    def dram(self, env: Environment, arch: ArchConfig, num_streams: int) -> Dram:
        """A memory whose buses are watched."""
        return WatchedDram(env, arch, num_streams, self)

    def _add(self, unit: str, owner: str, start: int, end: int) -> None:
        """Give cycles start .. end - 1 of a unit or lane to an owner."""
        row = "pe_array" if unit.startswith("lane_") else unit
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
