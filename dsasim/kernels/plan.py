"""From a keep mask to the steps of each group of query rows: which keys are loaded when, and for which rows.

A plan is four flat arrays, nested like CSR:

    step_ptr [groups + 1]   steps of group g are step_ptr[g] : step_ptr[g + 1]
    load_ptr [steps + 1]    loads of step s are load_ptr[s] : load_ptr[s + 1]
    load_key [loads]        the key a load reads
    load_rows [loads]       the rows of the group it serves, bit 0 = first row of the group

A group is T consecutive rows from row 0; the last may be short. Rules: design section 2.3, after the out-of-order key
issue of DOTA (Qu et al., ASPLOS 2022) as SOFA (MICRO 2024, IV-D) describes it.

Worked example (T = 2), keep mask of two rows: row 0 keeps keys 0, 2, 3; row 1 keeps keys 1, 2.

    step        in order                            reordered
    0           key 0 for row 0, key 1 for row 1    key 2 for both
    1           key 2 for both                      key 0 for row 0, key 1 for row 1
    2           key 3 for row 0                     key 3 for row 0

Either way 4 loads in 3 steps.
"""

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

Plan: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]


@njit(cache=True)
def plan_in_order(indptr: NDArray[np.int64], indices: NDArray[np.int32], group_rows: int) -> Plan:
    """Step t gives each row its t-th kept key, ascending; rows that get the same key in the same step share one load.

    `indptr` [L_q + 1], `indices` [nnz]: the mask as CSR, keys ascending; `group_rows` is T, at most 8.
    """
    num_rows = len(indptr) - 1
    groups = (num_rows + group_rows - 1) // group_rows
    step_ptr = np.zeros(groups + 1, np.int64)
    load_ptr = np.zeros(len(indices) + 1, np.int64)
    load_key = np.empty(len(indices), np.int32)
    load_rows = np.empty(len(indices), np.uint8)
    steps = 0
    loads = 0
    for group in range(groups):
        first = group * group_rows
        last = min(first + group_rows, num_rows)
        longest = 0
        for row in range(first, last):
            longest = max(longest, indptr[row + 1] - indptr[row])
        for turn in range(longest):
            start = loads
            for row in range(first, last):
                at = indptr[row] + turn
                if at >= indptr[row + 1]:
                    continue
                key = indices[at]
                found = start
                while found < loads and load_key[found] != key:
                    found += 1
                if found == loads:
                    load_key[loads] = key
                    load_rows[loads] = 0
                    loads += 1
                load_rows[found] |= np.uint8(1 << (row - first))
            steps += 1
            load_ptr[steps] = loads
        step_ptr[group + 1] = steps
    return step_ptr, load_ptr[: steps + 1].copy(), load_key[:loads].copy(), load_rows[:loads].copy()


@njit(cache=True)
def subset_order(group_rows: int) -> NDArray[np.int64]:
    """All non-empty row sets of a group as bitmasks, most rows first, then the lowest bitmask."""
    order = np.empty((1 << group_rows) - 1, np.int64)
    at = 0
    for size in range(group_rows, 0, -1):
        for subset in range(1, 1 << group_rows):
            bits = 0
            for row in range(group_rows):
                bits += (subset >> row) & 1
            if bits == size:
                order[at] = subset
                at += 1
    return order


@njit(cache=True)
def _classify(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    first: int,
    last: int,
    keys: NDArray[np.int32],
    subsets: NDArray[np.uint8],
) -> int:
    """Merge rows first..last-1 into their union, ascending: rows `subsets[u]` want `keys[u]`; returns its size."""
    cursor = np.empty(last - first, np.int64)
    for row in range(first, last):
        cursor[row - first] = indptr[row]
    found = 0
    while True:
        lowest = np.int64(1 << 40)
        for row in range(first, last):
            at = cursor[row - first]
            if at < indptr[row + 1] and indices[at] < lowest:
                lowest = np.int64(indices[at])
        if lowest == 1 << 40:
            return found
        subset = 0
        for row in range(first, last):
            at = cursor[row - first]
            if at < indptr[row + 1] and indices[at] == lowest:
                subset |= 1 << (row - first)
                cursor[row - first] += 1
        keys[found] = lowest
        subsets[found] = subset
        found += 1


@njit(cache=True)
def plan_reordered(indptr: NDArray[np.int64], indices: NDArray[np.int32], group_rows: int) -> Plan:
    """Each key is loaded once: keys wait in one queue per exact row set, and a step serves the largest sets first.

    In a step, `idle` = the rows that still want keys. The head of the non-empty queue whose set fits in `idle` with the
    most rows (ties: the lowest bitmask) is served and its rows leave `idle`, until no queue fits. One pass over the
    sets in that order is enough, since `idle` only shrinks. Arguments as in `plan_in_order`.
    """
    num_rows = len(indptr) - 1
    groups = (num_rows + group_rows - 1) // group_rows
    order = subset_order(group_rows)
    step_ptr = np.zeros(groups + 1, np.int64)
    load_ptr = np.zeros(len(indices) + 1, np.int64)
    load_key = np.empty(len(indices), np.int32)
    load_rows = np.empty(len(indices), np.uint8)
    union_keys = np.empty(len(indices), np.int32)
    union_sets = np.empty(len(indices), np.uint8)
    queue_keys = np.empty(len(indices), np.int32)
    head = np.empty((1 << group_rows) + 1, np.int64)
    tail = np.empty((1 << group_rows) + 1, np.int64)
    wanted = np.empty(group_rows, np.int64)
    steps = 0
    loads = 0
    for group in range(groups):
        first = group * group_rows
        last = min(first + group_rows, num_rows)
        size = _classify(indptr, indices, first, last, union_keys, union_sets)
        tail[:] = 0
        for at in range(size):
            tail[union_sets[at] + 1] += 1
        for subset in range(1, len(tail)):
            tail[subset] += tail[subset - 1]
        head[:] = tail
        for at in range(size):
            subset = union_sets[at]
            queue_keys[tail[subset]] = union_keys[at]
            tail[subset] += 1
        wanted[:] = 0
        for row in range(first, last):
            wanted[row - first] = indptr[row + 1] - indptr[row]
        served = 0
        while served < size:
            idle = 0
            for row in range(group_rows):
                idle |= (wanted[row] > 0) << row
            for subset in order:
                if head[subset] < tail[subset] and subset & ~idle == 0:
                    load_key[loads] = queue_keys[head[subset]]
                    load_rows[loads] = subset
                    head[subset] += 1
                    loads += 1
                    served += 1
                    idle ^= subset
                    for row in range(group_rows):
                        wanted[row] -= (subset >> row) & 1
            steps += 1
            load_ptr[steps] = loads
        step_ptr[group + 1] = steps
    return step_ptr, load_ptr[: steps + 1].copy(), load_key[:loads].copy(), load_rows[:loads].copy()
