"""Which vectors each part must fetch into a pool that holds only some of a layer's keys, and what it waits for.

Rules. Parts fetch in order. Fetching part p brings the part's keys that are not in the pool and stamps all its keys p.
When they do not all fit, the keys with the lowest (stamp, key) that the part does not want are dropped. Keys stamped by
a part that has been fetched and has not ended may not be dropped, so a fetch waits until enough of the others may.
Parts end in order and the lowest stamps go first: all that has to have ended is the part whose stamp the last dropped
key bears. Thus both the misses and the waits follow from the order of the parts alone, whenever they end.

Worked example: a pool of 3 vectors; parts want {0 1} {1 2} {3} {0 2}. Part 0 fetches 0 1. Part 1 fetches 2; key 1 is
now stamped 1. Part 2 fetches 3 and drops key 0, of stamp 0: it waits for part 0. Part 3 fetches 0 and drops key 1, of
stamp 1 (key 2, also of stamp 1, is wanted): it waits for part 1.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit


@njit()
def fetch_parts(
    union_ptr: NDArray[np.int64],
    union_keys: NDArray[np.int64],
    capacity: int,
    pool_keys: NDArray[np.int64],
    pool_stamps: NDArray[np.int64],
    first_part: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Fetch the parts first_part, first_part + 1, ... whose keys are `union_keys` (CSR, ascending, <= capacity each).

    `pool_keys`, `pool_stamps`: what the pool holds, the next to be dropped first. Returns the keys fetched as CSR
    (`fetch_ptr`, `fetch_keys`), the part that must have ended before each fetch starts [parts] (-1: none), and what the
    pool holds then.
    """
    parts = len(union_ptr) - 1
    held = len(pool_keys)
    # every (stamp, key) in the order in which they would be dropped; those stamped anew later are stale
    order_keys = np.concatenate((pool_keys, union_keys))
    order_stamps = np.concatenate((pool_stamps, np.empty(len(union_keys), np.int64)))
    num_keys = 0
    for key in order_keys:
        num_keys = max(num_keys, key + 1)
    stamp_of = np.full(num_keys, -1, np.int64)
    for at in range(held):
        stamp_of[pool_keys[at]] = pool_stamps[at]
    start = held
    fetch_ptr = np.zeros(parts + 1, np.int64)
    fetch_keys = np.empty(len(union_keys), np.int64)
    must_have_ended = np.full(parts, -1, np.int64)
    fetched = 0
    oldest = 0
    for part in range(parts):
        for at in range(union_ptr[part], union_ptr[part + 1]):
            key = union_keys[at]
            if stamp_of[key] < 0:
                fetch_keys[fetched] = key
                fetched += 1
                held += 1
            stamp_of[key] = first_part + part
            order_stamps[start + at] = first_part + part
        while held > capacity:
            if stamp_of[order_keys[oldest]] == order_stamps[oldest]:
                stamp_of[order_keys[oldest]] = -1
                must_have_ended[part] = order_stamps[oldest]
                held -= 1
            oldest += 1
        fetch_ptr[part + 1] = fetched
    kept = np.empty(held, np.int64)
    stamps = np.empty(held, np.int64)
    found = 0
    for at in range(oldest, len(order_keys)):
        if stamp_of[order_keys[at]] == order_stamps[at]:
            kept[found] = order_keys[at]
            stamps[found] = order_stamps[at]
            found += 1
    return fetch_ptr, fetch_keys[:fetched].copy(), must_have_ended, kept, stamps
