"""What is moved between a memory and a buffer, and what the engine asks of a memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from simpy import Event

from dsasim.kernels import dram_transfers as transfers


@dataclass(frozen=True, eq=False)
class Transfer:
    """Bytes to move: runs of adjacent bytes, in order; `starts` and `sizes` are int64 [runs], sizes at least 1."""

    is_write: bool
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def run(cls, is_write: bool, start: int, size: int) -> "Transfer":
        """One run of `size` bytes from `start`; a transfer of nothing when `size` is 0."""
        starts = [start] if size else []
        return cls(is_write, np.array(starts, np.int64), np.array([size] * len(starts), np.int64))

    @classmethod
    def strided(cls, is_write: bool, start: int, size: int, count: int, stride_bytes: int) -> "Transfer":
        """`count` runs of `size` bytes, each starting `stride_bytes` after the one before."""
        starts = start + stride_bytes * np.arange(count, dtype=np.int64)
        return cls(is_write, starts, np.full(count, size, np.int64))

    @classmethod
    def joined(cls, parts: "Sequence[Transfer]") -> "Transfer":
        """Several transfers of one direction as one, their runs in order."""
        first, *others = parts
        if not others:
            return first
        starts = np.concatenate([part.starts for part in parts])
        return cls(first.is_write, starts, np.concatenate([part.sizes for part in parts]))

    @cached_property
    def num_bytes(self) -> int:
        """Bytes asked for; the bursts that carry them may move more."""
        return int(self.sizes.sum())

    def burst_runs(self, access_bytes: int) -> NDArray[np.int64]:
        """First aligned burst and number of bursts [runs, 2] of each run, less a first one that has just been moved.

        Two runs of 32 bytes at 0 and 32 share burst 0 of 64 bytes: (0, 1) and (1, 0).
        """
        return transfers.burst_runs(self.starts, self.sizes, access_bytes)

    def bursts(self, access_bytes: int) -> int:
        """Aligned bursts that the runs touch in order, one repeated immediately counted once."""
        return int(transfers.num_bursts(self.starts, self.sizes, access_bytes))


class Memory(Protocol):
    """Takes transfers of several streams and says when each has moved."""

    def post(self, stream: int, transfer: Transfer) -> Event:
        """Hand over a transfer of at least one byte; the event fires when its last byte has moved."""

    def bursts(self, transfer: Transfer) -> int:
        """Bursts that a transfer takes."""
