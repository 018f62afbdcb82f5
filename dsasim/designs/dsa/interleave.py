"""Heads side by side: the rows of several query heads laid out so that each lane works on a head of its own.

Lanes take the groups of a tile in turn. Where lanes are split over heads, group g of head i of a head group stands at
place g * lanes + i: the groups 0 of all heads first, then their groups 1, and so on. A short last group is filled up
with rows that want nothing, and so are the places of heads that a short head group lacks. Keys of its j-th kv head are
numbered from j * L_k. After that a head group is planned, cut into tiles and walked like one head.

Worked example: lanes 2, T = 2, heads a and b of three rows: a0 a1 b0 b1 a2 - b2 - (a dash is a row that wants nothing).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.masks import KeepMask

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Interleaving:
    """`width` places, one a lane, in groups of `group_rows` rows; a width of 1 leaves a head as it is."""

    width: int
    group_rows: int

    def rows(self, heads: Sequence[Int64]) -> Int64:
        """Lay out one number a row, [L_q] of each head, as [rows of the head group]; rows that want nothing have 0."""
        if self.width == 1:
            return heads[0]
        groups = -(-len(heads[0]) // self.group_rows)
        placed = np.zeros((groups * self.group_rows, self.width), np.int64)
        for place, values in enumerate(heads):
            placed[: len(values), place] = values
        by_group = placed.reshape(groups, self.group_rows, self.width).swapaxes(1, 2)
        return by_group.reshape(-1)

    def groups(self, heads: Sequence[Int64]) -> Int64:
        """Lay out one number a group, [groups] of each head, as [groups of the head group]."""
        return Interleaving(self.width, 1).rows(heads)

    def keep(self, heads: Sequence[KeepMask], kv_places: Sequence[int]) -> KeepMask:
        """The mask of the whole head group; `kv_places` says which of its kv heads each query head uses."""
        if self.width == 1:
            return heads[0]
        num_keys, num_rows = heads[0].num_keys, len(heads[0].indptr) - 1
        counts = self.rows([keep.row_counts for keep in heads])
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        indices = np.empty(indptr[-1], np.int32)
        row = np.arange(num_rows)
        for place, (keep, kv_place) in enumerate(zip(heads, kv_places, strict=True)):
            group, within = np.divmod(row, self.group_rows)
            begins = indptr[(group * self.width + place) * self.group_rows + within]
            offsets = np.repeat(begins - keep.indptr[:-1], keep.row_counts)
            indices[offsets + np.arange(keep.nnz)] = keep.indices + kv_place * num_keys
        return KeepMask(indptr, indices, num_keys * (max(kv_places) + 1))
