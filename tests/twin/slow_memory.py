"""Memories with other buses than DDR4 has (LPDDR5, HBM): `twin_dram`, the controller's own twin, edge by edge."""

from collections import Counter
from fractions import Fraction
from math import ceil, floor
from types import SimpleNamespace
from typing import Any

import numpy as np
from twin_dram import SlowDram

from twin.memory import Moving


class SlowMemory:
    """`SlowDram` with the words of `twin.memory.Memory`."""

    def __init__(self, dram: SlowDram, ratio: Fraction) -> None:
        self.dram = dram
        self.ratio = ratio
        self.next_edge = 0
        self.told: set[Any] = set()
        self.finished: list[Moving] = []
        self.busy_cycles: set[int] = set()

    @property
    def counts(self) -> Counter[str]:
        """Commands and what became of requests."""
        return self.dram.counts

    @property
    def commands_of(self) -> Counter[tuple[int, str]]:
        """By channel and command."""
        return Counter((place[0], command) for _, command, place, _ in self.dram.commands)

    @property
    def open_edges(self) -> Counter[int]:
        """Of each channel: edges at which it has a row open after its commands."""
        return self.dram.open_edges

    def post(self, owner: Any, stream: int, bursts: list[int], *, is_write: bool) -> None:
        """Take a transfer of aligned bursts."""
        size = self.dram.chips.access_bytes
        starts = np.array(bursts) * size
        self.dram.post(
            stream, SimpleNamespace(is_write=is_write, starts=starts, sizes=np.full(len(bursts), size)), owner
        )

    def advance(self, cycle: int) -> None:
        """All edges in core cycle `cycle`."""
        while self.next_edge * self.ratio.numerator < (cycle + 1) * self.ratio.denominator:
            moved = len(self.dram.on_bus)
            self.dram.tick(self.next_edge)
            self.next_edge += 1
            for first, end, _ in self.dram.on_bus[moved:]:
                self.busy_cycles.update(range(floor(first * self.ratio), ceil(end * self.ratio)))
        for owner in self.dram.ends.keys() - self.told:
            self.told.add(owner)
            self.finished.append(Moving(owner, False, 0, self.dram.ends[owner]))
