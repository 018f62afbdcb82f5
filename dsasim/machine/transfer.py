"""What is moved between a memory and a buffer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Transfer:
    """Bytes to move: runs of adjacent bytes, in order; `starts` and `sizes` are int64 [runs], sizes at least 1."""

    is_write: bool
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def run(cls, is_write: bool, start: int, size: int) -> "Transfer":
        """One run of `size` bytes from `start`; a transfer of nothing when `size` is 0."""
        return cls.strided(is_write, start, size, count=1 if size else 0, stride_bytes=0)

    @classmethod
    def strided(cls, is_write: bool, start: int, size: int, count: int, stride_bytes: int) -> "Transfer":
        """`count` runs of `size` bytes, each starting `stride_bytes` after the one before."""
        starts = start + stride_bytes * np.arange(count, dtype=np.int64)
        return cls(is_write, starts, np.full(count, size, np.int64))

    @classmethod
    def joined(cls, transfers: "Sequence[Transfer]") -> "Transfer":
        """Several transfers of one direction as one, their runs in order."""
        first, *others = transfers
        if not others:
            return first
        starts = np.concatenate([transfer.starts for transfer in transfers])
        return cls(first.is_write, starts, np.concatenate([transfer.sizes for transfer in transfers]))

    @property
    def num_bytes(self) -> int:
        """Bytes asked for; the bursts that carry them may move more."""
        return int(self.sizes.sum())

    def burst_runs(self, access_bytes: int) -> NDArray[np.int64]:
        """First aligned burst and number of bursts [runs, 2] of each run, less a first one that has just been moved.

        Two runs of 32 bytes at 0 and 32 share burst 0 of 64 bytes: (0, 1) and (1, 0).
        """
        first = self.starts // access_bytes
        end = (self.starts + self.sizes - 1) // access_bytes + 1
        first[1:] += first[1:] == end[:-1] - 1
        return np.stack([first, end - first], axis=1)

    def bursts(self, access_bytes: int) -> int:
        """Aligned bursts that the runs touch in order, one repeated immediately counted once."""
        return int(self.burst_runs(access_bytes)[:, 1].sum())
