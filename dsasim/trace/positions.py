"""Which keys each query row of a layer may attend to: causality and a stored mask, read a block of rows at a time.

An L_q x L_k array is never made: at 16 384 tokens one of booleans takes 268 MB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsasim.trace.packing import Bool, unpack_bits

Int64 = NDArray[np.int64]

BLOCK_POSITIONS = 1 << 18
"""Positions that a block of rows has at most (a single row may have more): 1 MB of scores, which stay in a cache."""


class RowBlock(NamedTuple):
    """Consecutive query rows, and the keys from 0 that they are looked at with: none of them may see a later one."""

    first: int
    num_rows: int
    num_keys: int

    @property
    def rows(self) -> slice:
        """The rows, as an index into anything [L_q, ...]."""
        return slice(self.first, self.first + self.num_rows)


@dataclass(frozen=True)
class Positions:
    """The positions of one layer: rows L_q, keys L_k; `packed` is the stored mask uint8 [L_q, ceil(L_k / 8)], if any.

    Causal: key j for row i if j <= i + L_k - L_q, so that the last row sees every key.
    """

    L_q: int
    L_k: int
    causal: bool
    packed: NDArray[np.uint8] | None

    def allowed(self, first: int, num_rows: int, num_keys: int) -> Bool:
        """Whether each of `num_rows` rows from `first` may attend to each of the first `num_keys` keys."""
        rows = slice(first, first + num_rows)
        keys = np.arange(num_keys)
        seen = keys < self._causal_spans[rows, None]
        if self.packed is None:
            return seen
        return seen & unpack_bits(self.packed[rows, : -(-num_keys // 8)], num_keys)

    @cached_property
    def counts(self) -> Int64:
        """Keys that each row may attend to, int64 [L_q]."""
        return self._causal_spans if self.packed is None else self._stored[0]

    @cached_property
    def spans(self) -> Int64:
        """Keys from 0 up to the last one that each row may attend to, int64 [L_q]; 0 where there is none."""
        return self._causal_spans if self.packed is None else self._stored[1]

    def blocks(self, together: int = 1) -> Iterator[RowBlock]:
        """All rows, in blocks of at most BLOCK_POSITIONS positions, or of `together` rows, in whole ones of these."""
        num_rows = max(1, BLOCK_POSITIONS // self.L_k // together) * together
        for first in range(0, self.L_q, num_rows):
            spans = self.spans[first : first + num_rows]
            yield RowBlock(first, len(spans), max(1, int(spans.max())))

    @cached_property
    def _causal_spans(self) -> Int64:
        """Keys from 0 that causality lets each row see, int64 [L_q]."""
        if not self.causal:
            return np.full(self.L_q, self.L_k, dtype=np.int64)
        return np.clip(np.arange(self.L_q, dtype=np.int64) + 1 + self.L_k - self.L_q, 0, self.L_k)

    @cached_property
    def _stored(self) -> tuple[Int64, Int64]:
        """Counts and spans under a stored mask."""
        counts, spans = np.zeros((2, self.L_q), dtype=np.int64)
        num_rows = max(1, BLOCK_POSITIONS // self.L_k)
        for first in range(0, self.L_q, num_rows):
            rows = slice(first, first + num_rows)
            allowed = self.allowed(first, len(counts[rows]), self.L_k)
            counts[rows] = np.count_nonzero(allowed, axis=1)
            spans[rows] = np.where(counts[rows] > 0, self.L_k - np.argmax(allowed[:, ::-1], axis=1), 0)
        return counts, spans
