"""Two onlookers at one run: both are told everything, the parts that can be watched are the first one's."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.model.dram import Dram, Transfer
from dsasim.model.dram_watched import WatchedDram
from dsasim.model.operands import Slots
from dsasim.model.probe import Name, Probe
from dsasim.model.waits import Wait


class Both:
    """A probe that tells two."""

    def __init__(self, first: Probe, second: Probe) -> None:
        self._first, self._second = first, second

    def job(self, unit: str, name: Name, start: int, busy: int, conflict: int, imbalance: int) -> None:
        """Tell both."""
        self._first.job(unit, name, start, busy, conflict, imbalance)
        self._second.job(unit, name, start, busy, conflict, imbalance)

    def idle(self, unit: str, waits: Sequence[Wait]) -> None:
        """Tell both."""
        self._first.idle(unit, waits)
        self._second.idle(unit, waits)

    def transfer(self, engine: str, place: int, name: str, start: int, end: int, moved: Transfer) -> None:
        """Tell both."""
        self._first.transfer(engine, place, name, start, end, moved)
        self._second.transfer(engine, place, name, start, end, moved)

    def bus(self, data: NDArray[np.int64], open_transfers: Sequence[tuple[int, int]], total_cycles: int) -> None:
        """Tell both."""
        self._first.bus(data, open_transfers, total_cycles)
        self._second.bus(data, open_transfers, total_cycles)

    def slots(self, env: Environment, name: str, count: int) -> Slots:
        """The first one's slots."""
        return self._first.slots(env, name, count)

    def dram(self, env: Environment, arch: ArchConfig, num_streams: int) -> Dram:
        """The first one's memory, which tells both if it can be watched."""
        memory = self._first.dram(env, arch, num_streams)
        if isinstance(memory, WatchedDram):
            memory.probe = self
        return memory
