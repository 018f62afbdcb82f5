"""Keys and values that do not fit their buffer: tiles cut into parts, and what each part fetches into a pool.

A pool of vectors lives as long as a layer; all its kv heads share it. Rules and worked examples: `kernels.key_blocks`
for the cut, `kernels.vector_cache` for the fetches.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dsasim.dataflow.plan import Plan
from dsasim.kernels.key_blocks import cut_tiles
from dsasim.kernels.vector_cache import fetch_blocks

Int64 = NDArray[np.int64]


def _empty() -> Int64:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Parts:
    """Parts of the tiles of one head, in order; each is walked by the array as a job of its own.

    tile int64 [parts]; bounds int64 [parts, 4]: first group, end group, first step, end step, ends exclusive; the
    union of a part's keys as CSR, ascending: union_ptr int64 [parts + 1], union_keys.
    """

    tile: Int64
    bounds: Int64
    union_ptr: Int64
    union_keys: NDArray[np.int32] | Int64

    def __len__(self) -> int:
        return len(self.tile)

    def union(self, part: int) -> NDArray[np.int32] | Int64:
        """The keys of a part, ascending."""
        return self.union_keys[self.union_ptr[part] : self.union_ptr[part + 1]]


def plan_parts(plan: Plan, groups_per_tile: int, capacity: int) -> Parts:
    """Cut the tiles of a head's plan until the keys of each part fit a pool of `capacity` vectors.

    ValueError if a step has more loads than that; T vectors always suffice.
    """
    bounds, union_ptr, union_keys = cut_tiles(plan.step_ptr, plan.load_ptr, plan.load_key, groups_per_tile, capacity)
    return Parts(bounds[:, 0] // groups_per_tile, bounds, union_ptr, union_keys)


@dataclass(frozen=True)
class Pool:
    """What a layer's pool of `capacity` vectors holds after its first `num_parts` parts.

    keys, stamps int64 [held]: key, and the last part that wanted it; the next to be dropped first.
    """

    capacity: int
    num_parts: int = 0
    keys: Int64 = field(default_factory=_empty)
    stamps: Int64 = field(default_factory=_empty)


@dataclass(frozen=True)
class Fetches:
    """What the parts of one head fetch.

    keys as CSR, ascending, numbered as in the plan: key_ptr int64 [parts + 1], all_keys int64. must_have_ended int64
    [parts]: the part, counted over the layer, that must have ended before the fetch starts; -1 for none.
    """

    key_ptr: Int64
    all_keys: Int64
    must_have_ended: Int64

    def keys(self, part: int) -> Int64:
        """The keys that a part of the head fetches, ascending."""
        return self.all_keys[self.key_ptr[part] : self.key_ptr[part + 1]]


def fetches(pool: Pool, parts: Parts) -> tuple[Fetches, Pool]:
    """Fetch the parts of the layer's next head into its pool; returns the fetches and the pool after them.

    Keys of different kv heads are different vectors and must have different numbers.
    """
    union_keys = parts.union_keys.astype(np.int64)
    key_ptr, keys, must_have_ended, held, stamps = fetch_blocks(
        parts.union_ptr, union_keys, pool.capacity, pool.keys, pool.stamps, pool.num_parts
    )
    after = Pool(pool.capacity, pool.num_parts + len(parts), held, stamps)
    return Fetches(key_ptr, keys, must_have_ended), after
