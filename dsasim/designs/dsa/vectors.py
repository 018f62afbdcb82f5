"""K or V of a layer on the chip: kv heads whole, or a cache of single vectors that key blocks fetch into."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dsasim.dataflows.key_blocks import KeyBlocks, VectorCache, fetches
from dsasim.designs.dsa.tiling import Residency
from dsasim.machine.space import After
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import Region


class Fetch(NamedTuple):
    """The keys of a block that the cache lacks, and the number of the block that must have ended first (or -1)."""

    transfer: Transfer
    after: int


class Vectors:
    """`name`: k or v; `region`: its place in DRAM; `block_vectors`: see `Residency`, None if kept whole."""

    def __init__(self, name: str, region: Region, kept: Residency) -> None:
        self.name = name
        self.block_vectors = kept.block_vectors
        self._region = region
        self._cache = VectorCache(kept.cache_vectors or 0)
        self._ends: deque[Token] = deque()
        self._first_end = 0

    def whole(self, kv_heads: Sequence[int]) -> Transfer:
        """All vectors of some kv heads."""
        return Transfer.joined([self._region.transfer(number, 0, self._region.rows) for number in kv_heads])

    def fetches(self, kv_heads: Sequence[int], blocks: KeyBlocks) -> list[Fetch]:
        """What each key block of the next head group brings; key j of kv head n is n * L_k + j."""
        L_k = self._region.rows
        place, key = np.divmod(blocks.keys.astype(np.int64), L_k)
        known = replace(blocks, keys=np.array(kv_heads)[place] * L_k + key)
        found, self._cache = fetches(self._cache, known)
        made = []
        for block in range(len(blocks)):
            kv_head, key = np.divmod(found.keys_of(block), L_k)
            gathered = [self._region.gather(number, key[kv_head == number]) for number in kv_heads]
            made.append(Fetch(Transfer.joined(gathered), int(found.must_have_ended[block])))
        return made

    def computed(self, end: Token) -> None:
        """The product of the next block of the layer ends with this token."""
        self._ends.append(end)

    def space(self, after: int) -> After | None:
        """Space that the end of block `after` makes, at once for -1; no later fetch waits for an earlier block."""
        if after < 0:
            return None
        while self._first_end < after:
            self._ends.popleft()
            self._first_end += 1
        return After(self._ends[0], f"{self.name} buffer")
