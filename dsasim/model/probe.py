"""What may look on while a machine runs: it is told what every unit does, and supplies the parts that can be watched.

A machine without an onlooker has `NO_PROBE`, which is told the same and does nothing. No probe may change a cycle.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.model.dram import Dram, Transfer
from dsasim.model.operands import Slots
from dsasim.model.waits import Wait


class Name(NamedTuple):
    """What a job does and to what: ("SDDMM", "layer 0 head 3 tile 2"), joined only where somebody looks."""

    does: str
    to: str


class Probe(Protocol):
    """Somebody who looks on."""

    def job(self, unit: str, name: Name, start: int, busy: int, conflict: int, imbalance: int) -> None:
        """A job that began at `start` is over: cycles of work, lost to bank conflicts, and waiting for other lanes."""

    def idle(self, unit: str, waits: Sequence[Wait]) -> None:
        """A unit has been idle."""

    def transfer(self, engine: str, place: int, name: str, start: int, end: int, moved: Transfer) -> None:
        """A DMA engine has moved something; no two transfers of one `place` (0 .. open transfers - 1) overlap."""

    def bus(self, data: NDArray[np.int64], open_transfers: Sequence[tuple[int, int]], total_cycles: int) -> None:
        """The run is over: [begin, end) in core cycles of each burst on a data bus; [post, ready) of transfers."""

    def slots(self, env: Environment, name: str, count: int) -> Slots:
        """The slots of a buffer."""

    def dram(self, env: Environment, arch: ArchConfig, num_streams: int) -> Dram:
        """The memory."""


class NoProbe:
    """Nobody."""

    def job(self, unit: str, name: Name, start: int, busy: int, conflict: int, imbalance: int) -> None:
        """Nothing to do."""

    def idle(self, unit: str, waits: Sequence[Wait]) -> None:
        """Nothing to do."""

    def transfer(self, engine: str, place: int, name: str, start: int, end: int, moved: Transfer) -> None:
        """Nothing to do."""

    def bus(self, data: NDArray[np.int64], open_transfers: Sequence[tuple[int, int]], total_cycles: int) -> None:
        """Nothing to do."""

    def slots(self, env: Environment, name: str, count: int) -> Slots:
        """Plain slots."""
        return Slots(env, name, count)

    def dram(self, env: Environment, arch: ArchConfig, num_streams: int) -> Dram:
        """A plain memory."""
        return Dram(env, arch, num_streams)


NO_PROBE = NoProbe()
