"""Keep masks, and what selecting them took: what a method and its selector give."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.bits import true_keys

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


class Mask(Protocol):
    """Kept keys of every query row, to be had a block of rows at a time."""

    @property
    def num_keys(self) -> int:
        """L_k."""

    @property
    def nnz(self) -> int:
        """Kept positions."""

    @property
    def row_counts(self) -> Int64:
        """Kept keys of each row, int64 [L_q]."""

    def block(self, first: int, num_rows: int, /) -> "KeepMask":
        """The mask of `num_rows` rows from `first`."""


@dataclass(frozen=True)
class KeepMask:
    """Kept keys of every query row, as CSR: row i keeps indices[indptr[i]:indptr[i + 1]], ascending.

    indptr int64 [L_q + 1]; indices int32 [nnz]; num_keys is L_k.
    """

    indptr: Int64
    indices: Int32
    num_keys: int

    @classmethod
    def from_dense(cls, keep: Bool) -> "KeepMask":
        """The mask of a boolean [L_q, L_k], True = kept."""
        return cls(*true_keys(keep), keep.shape[1])

    @classmethod
    def join(cls, blocks: Sequence["KeepMask"], num_keys: int) -> "KeepMask":
        """One mask of consecutive blocks of rows, which may have looked at fewer keys."""
        ends = np.cumsum([0] + [block.nnz for block in blocks])
        indptr = [block.indptr[:-1] + end for block, end in zip(blocks, ends[:-1], strict=True)]
        return cls(np.concatenate([*indptr, ends[-1:]]), np.concatenate([b.indices for b in blocks]), num_keys)

    def block(self, first: int, num_rows: int) -> "KeepMask":
        """The mask of `num_rows` rows from `first`."""
        indptr = self.indptr[first : first + num_rows + 1]
        return KeepMask(indptr - indptr[0], self.indices[indptr[0] : indptr[-1]], self.num_keys)

    @property
    def nnz(self) -> int:
        """Kept positions."""
        return int(self.indptr[-1])

    @property
    def row_counts(self) -> Int64:
        """Kept keys of each row, int64 [L_q]."""
        return np.diff(self.indptr)

    @property
    def rows(self) -> Int64:
        """The row of each kept position, int64 [nnz]."""
        return np.repeat(np.arange(len(self.indptr) - 1), self.row_counts)

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the mask."""
        keys = hashlib.sha256(str(self.num_keys).encode())
        keys.update(self.indptr.data)
        keys.update(self.indices.data)
        return keys.hexdigest()

    def to_dense(self) -> Bool:
        """The mask as a boolean [L_q, L_k]."""
        keep = np.zeros((len(self.indptr) - 1, self.num_keys), dtype=np.bool_)
        keep[self.rows, self.indices] = True
        return keep


class Selection(NamedTuple):
    """The keep mask of some rows and what selecting each of them took, all int64 [rows].

    row_cycles: cycles one selector needs for the row; comparisons: scores compared; entries_read, entries_written:
    scores with their keys that go to the predictor's buffer between passes and come back. All are 0 for a mask that is
    free of charge.
    """

    keep: Mask
    row_cycles: Int64
    comparisons: Int64
    entries_read: Int64
    entries_written: Int64

    @classmethod
    def free(cls, keep: Mask) -> "Selection":
        """A mask that no unit had to select."""
        return cls(keep, *np.zeros((4, len(keep.row_counts)), np.int64))

    @classmethod
    def join(cls, blocks: Sequence["Selection"], num_keys: int) -> "Selection":
        """The selection of a head from those of consecutive blocks of its rows."""
        keeps, *rows = zip(*blocks, strict=True)
        whole = [keep.block(0, len(block.row_cycles)) for keep, block in zip(keeps, blocks, strict=True)]
        return cls(KeepMask.join(whole, num_keys), *map(np.concatenate, rows))

    def block(self, first: int, num_rows: int) -> "Selection":
        """The selection of `num_rows` rows from `first`."""
        return Selection(self.keep.block(first, num_rows), *(each[first : first + num_rows] for each in self[1:]))
