"""Where a layer's tensors lie in DRAM, and so which bytes each DMA transfer moves.

Tensors follow each other in the order of their first use, each aligned to 4 KiB (assumed: the page of an allocator).
Within a tensor `dram.layout` says what is adjacent: with `head_contiguous` all rows of a head (a tile is one run), with
`token_interleaved` all heads of a token, as a projection writes them (a tile is one run a row).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import MachineConfig
from dsasim.errors import ConfigError
from dsasim.machine.transfer import Transfer
from dsasim.model.dram_preset import load_presets

ALIGNMENT_BYTES = 4096


@dataclass(frozen=True)
class Region:
    """A tensor [heads, rows] of vectors of `vector_bytes`."""

    base: int
    heads: int
    rows: int
    vector_bytes: int
    interleaved: bool

    @property
    def num_bytes(self) -> int:
        """Bytes of the whole tensor."""
        return self.heads * self.rows * self.vector_bytes

    def transfer(self, head: int, first: int, count: int, *, is_write: bool = False) -> Transfer:
        """Rows first .. first + count - 1 of one head.

        Worked example, 3 heads of 8 rows of 128 bytes at base 0: head 1, rows 2 and 3 are one run of 256 bytes at
        1 * 1024 + 256 = 1280 when head-contiguous, and two runs of 128 bytes at (2 * 3 + 1) * 128 = 896 and 384 bytes
        later when token-interleaved.
        """
        if not self.interleaved:
            start = self.base + (head * self.rows + first) * self.vector_bytes
            return Transfer.run(is_write, start, count * self.vector_bytes)
        start = self.base + (first * self.heads + head) * self.vector_bytes
        return Transfer.strided(is_write, start, self.vector_bytes, count, self.heads * self.vector_bytes)

    def block(
        self, first_row: int, num_rows: int, first_byte: int, num_bytes: int, *, is_write: bool = False
    ) -> Transfer:
        """A stretch of every one of some rows, where a row is the vectors of all its heads side by side.

        Worked example, 3 heads of 8 rows of 128 bytes at base 0: bytes 64 to 255 of rows 2 and 3 are, head-contiguous,
        two runs of 64 bytes at 2 * 128 + 64 and 128 bytes later, and one of 256 bytes at 1024 + 256; token-interleaved,
        two runs of 192 bytes at 2 * 384 + 64 and 384 bytes later.
        """
        if self.heads == 1 or self.interleaved:
            row_bytes = self.heads * self.vector_bytes
            return _stretch(is_write, self.base + first_row * row_bytes, row_bytes, num_rows, first_byte, num_bytes)
        parts = []
        for head in range(first_byte // self.vector_bytes, -(-(first_byte + num_bytes) // self.vector_bytes)):
            low = max(0, first_byte - head * self.vector_bytes)
            high = min(self.vector_bytes, first_byte + num_bytes - head * self.vector_bytes)
            start = self.base + (head * self.rows + first_row) * self.vector_bytes
            parts.append(_stretch(is_write, start, self.vector_bytes, num_rows, low, high - low))
        return Transfer.joined(parts)

    def gather(self, head: int, rows: NDArray[np.int64]) -> Transfer:
        """The given rows of one head, ascending; vectors that lie side by side are one run.

        Worked example, head-contiguous vectors of 128 bytes: rows 2, 3 and 7 of head 0 are runs of 256 and 128 bytes.
        """
        if not self.interleaved:
            breaks = np.diff(rows, prepend=-2) != 1
            firsts, counts = rows[breaks], np.diff(np.append(np.flatnonzero(breaks), len(rows)))
            starts = self.base + (head * self.rows + firsts) * self.vector_bytes
            return Transfer(False, starts, counts * self.vector_bytes)
        starts = self.base + (rows * self.heads + head) * self.vector_bytes
        return Transfer(False, starts, np.full(len(rows), self.vector_bytes, np.int64))


def _stretch(is_write: bool, start: int, row_bytes: int, num_rows: int, first_byte: int, num_bytes: int) -> Transfer:
    """The same bytes of adjacent rows; whole rows are one run."""
    if num_bytes == row_bytes:
        return Transfer.run(is_write, start, num_rows * row_bytes)
    return Transfer.strided(is_write, start + first_byte, num_bytes, num_rows, row_bytes)


class MemoryMap:
    """Hands out regions one after the other."""

    def __init__(self, arch: MachineConfig) -> None:
        self._interleaved = arch.dram.layout == "token_interleaved"
        self._capacity = load_presets()[arch.dram.preset].channel_bytes * arch.dram.channels * arch.dram.ranks
        self._next = 0

    def place(self, heads: int, rows: int, vector_bytes: int) -> Region:
        """Set a tensor aside; ConfigError when the memory is full."""
        region = Region(self._next, heads, rows, vector_bytes, self._interleaved and heads > 1)
        self._next = -(-(region.base + region.num_bytes) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if self._next > self._capacity:
            raise ConfigError(
                f"the trace's tensors need {self._next} bytes of DRAM, dram.channels hold {self._capacity}"
            )
        return region
