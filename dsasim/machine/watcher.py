"""Who looks on while a machine runs: is told what every unit does, and cannot change a cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dsasim.machine.job import Job
    from dsasim.machine.spec import UnitSpec
    from dsasim.machine.waits import Wait


@dataclass(frozen=True, eq=False)
class BusUse:
    """What a memory did in a run of `total_cycles` core cycles.

    `data` int64 [bursts, 2]: [begin, end) of each burst on a data bus, ascending; `open_transfers`: [post, ready).
    """

    memory: str
    access_bytes: int
    data: NDArray[np.int64]
    open_transfers: Sequence[tuple[int, int]]
    total_cycles: int


class Watcher(Protocol):
    """Somebody who looks on."""

    def begin(self, specs: Sequence[UnitSpec]) -> None:
        """The units of the machine, before anything happens."""

    def job(self, unit: str, job: Job, start: int, busy: int, conflict: int, imbalance: int) -> None:
        """A job of a unit, or of a lane of it, is over: cycles of work, lost to bank conflicts, and to other lanes.

        A DMA engine is busy from the start of a transfer to the end of the last that overlaps, which is its job.
        """

    def idle(self, unit: str, waits: Sequence[Wait]) -> None:
        """A unit or lane has been idle."""

    def transfer(self, engine: str, place: int, job: Job, start: int, end: int) -> None:
        """A DMA engine has moved something; no two transfers of one `place` (0 .. open transfers - 1) overlap."""

    def taken(self, buffer: str, at: int, amount: int) -> None:
        """From cycle `at` on so much of a buffer is taken; of several amounts in a cycle the last counts."""

    def bus(self, use: BusUse) -> None:
        """The run is over; told by each memory."""
