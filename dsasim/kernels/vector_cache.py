"""Which vectors each key block must fetch into a cache that holds only some of a layer's keys, and what it waits for.

In a design the cache is a K or V buffer with `residency: pool`. It replaces the least recently used vector.

Rules. Blocks fetch in order. Fetching block b brings those of its keys that are not in the cache and stamps all its
keys b. When they do not all fit, the keys with the lowest (stamp, key) that the block does not want are evicted. Keys
stamped by a block that has been fetched and has not ended may not be evicted, so a fetch waits until enough of the
others may. Blocks end in order and the lowest stamps go first: all that has to have ended is the block whose stamp the
last evicted key bears. Thus both the misses and the waits follow from the order of the blocks alone, whenever they end.

Worked example: a cache of 3 vectors; blocks want {0 1} {1 2} {3} {0 2}. Block 0 fetches 0 1. Block 1 fetches 2; key 1
is now stamped 1. Block 2 fetches 3 and evicts key 0, of stamp 0: it waits for block 0. Block 3 fetches 0 and evicts key
1, of stamp 1 (key 2, also of stamp 1, is wanted): it waits for block 1.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit


@njit()
def fetch_blocks(
    union_ptr: NDArray[np.int64],
    union_keys: NDArray[np.int64],
    capacity: int,
    cached_keys: NDArray[np.int64],
    cached_stamps: NDArray[np.int64],
    first_block: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Fetch blocks first_block, first_block + 1, ... whose keys are `union_keys` (CSR, ascending, <= capacity each).

    `cached_keys`, `cached_stamps`: what the cache holds, the next to be evicted first. Returns the keys fetched as CSR
    (`fetch_ptr`, `fetch_keys`), the block that must have ended before each fetch starts [blocks] (-1: none), and what
    the cache holds then.
    """
    blocks = len(union_ptr) - 1
    held = len(cached_keys)
    # every (stamp, key) in the order in which they would be evicted; those stamped anew later are stale
    order_keys = np.concatenate((cached_keys, union_keys))
    order_stamps = np.concatenate((cached_stamps, np.empty(len(union_keys), np.int64)))
    num_keys = 0
    for key in order_keys:
        num_keys = max(num_keys, key + 1)
    stamp_of = np.full(num_keys, -1, np.int64)
    for at in range(held):
        stamp_of[cached_keys[at]] = cached_stamps[at]
    start = held
    fetch_ptr = np.zeros(blocks + 1, np.int64)
    fetch_keys = np.empty(len(union_keys), np.int64)
    must_have_ended = np.full(blocks, -1, np.int64)
    fetched = 0
    oldest = 0
    for block in range(blocks):
        for at in range(union_ptr[block], union_ptr[block + 1]):
            key = union_keys[at]
            if stamp_of[key] < 0:
                fetch_keys[fetched] = key
                fetched += 1
                held += 1
            stamp_of[key] = first_block + block
            order_stamps[start + at] = first_block + block
        while held > capacity:
            if stamp_of[order_keys[oldest]] == order_stamps[oldest]:
                stamp_of[order_keys[oldest]] = -1
                must_have_ended[block] = order_stamps[oldest]
                held -= 1
            oldest += 1
        fetch_ptr[block + 1] = fetched
    kept = np.empty(held, np.int64)
    stamps = np.empty(held, np.int64)
    found = 0
    for at in range(oldest, len(order_keys)):
        if stamp_of[order_keys[at]] == order_stamps[at]:
            kept[found] = order_keys[at]
            stamps[found] = order_stamps[at]
            found += 1
    return fetch_ptr, fetch_keys[:fetched].copy(), must_have_ended, kept, stamps
