"""Keys and values that do not fit their buffer: tiles cut into key blocks, and what each block fetches into a cache.

A cache of vectors lives as long as a layer; all its kv heads share it. Rules and worked examples: `kernels.key_blocks`
for the cut, `kernels.vector_cache` for the fetches.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dsasim.dataflows.plan import Plan
from dsasim.kernels.key_blocks import cut_tiles
from dsasim.kernels.vector_cache import fetch_blocks

Int64 = NDArray[np.int64]


def _empty() -> Int64:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class KeyBlocks:
    """Shares of the tiles of one head whose keys are on chip together, in order; each is a job of the array.

    tile int64 [blocks]; bounds int64 [blocks, 4]: first group, end group, first step, end step, ends exclusive; the
    keys of each block as CSR, ascending: key_ptr int64 [blocks + 1], keys.
    """

    tile: Int64
    bounds: Int64
    key_ptr: Int64
    keys: NDArray[np.int32] | Int64

    def __len__(self) -> int:
        return len(self.tile)

    def keys_of(self, block: int) -> NDArray[np.int32] | Int64:
        """The keys of a block, ascending."""
        return self.keys[self.key_ptr[block] : self.key_ptr[block + 1]]


def plan_blocks(plan: Plan, groups_per_tile: int, capacity: int) -> KeyBlocks:
    """Cut the tiles of a head's plan until the keys of each block fit a cache of `capacity` vectors.

    ValueError if a step has more loads than that; T vectors always suffice.
    """
    bounds, key_ptr, keys = cut_tiles(plan.step_ptr, plan.load_ptr, plan.load_key, groups_per_tile, capacity)
    return KeyBlocks(bounds[:, 0] // groups_per_tile, bounds, key_ptr, keys)


@dataclass(frozen=True)
class VectorCache:
    """What a layer's cache of `capacity` vectors holds after its first `num_blocks` key blocks.

    keys, stamps int64 [held]: key, and the last block that wanted it; the next to be dropped first.
    """

    capacity: int
    num_blocks: int = 0
    keys: Int64 = field(default_factory=_empty)
    stamps: Int64 = field(default_factory=_empty)


@dataclass(frozen=True)
class Fetches:
    """What the key blocks of one head fetch.

    keys as CSR, ascending, numbered as in the plan: key_ptr int64 [blocks + 1], keys int64. must_have_ended int64
    [blocks]: the block, counted over the layer, that must have ended before the fetch starts; -1 for none.
    """

    key_ptr: Int64
    keys: Int64
    must_have_ended: Int64

    def keys_of(self, block: int) -> Int64:
        """The keys that a block of the head fetches, ascending."""
        return self.keys[self.key_ptr[block] : self.key_ptr[block + 1]]


def fetches(cache: VectorCache, blocks: KeyBlocks) -> tuple[Fetches, VectorCache]:
    """Fetch the key blocks of the layer's next head into its cache; returns the fetches and the cache after them.

    Keys of different kv heads are different vectors and must have different numbers.
    """
    held = cache.keys, cache.stamps, cache.num_blocks
    *found, keys, stamps = fetch_blocks(blocks.key_ptr, blocks.keys.astype(np.int64), cache.capacity, *held)
    return Fetches(*found), VectorCache(cache.capacity, cache.num_blocks + len(blocks), keys, stamps)
