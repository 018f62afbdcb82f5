"""From a keep mask to the steps of each group of query rows: which keys are loaded when, and for which rows.

A plan is four flat arrays, nested like CSR:

    step_ptr [groups + 1]   steps of group g are step_ptr[g] : step_ptr[g + 1]
    load_ptr [steps + 1]    loads of step s are load_ptr[s] : load_ptr[s + 1]
    load_key [loads]        the key a load reads
    load_rows [loads]       the rows of the group it serves, bit 0 = first row of the group

A group is T consecutive rows from row 0; the last may be short. The reordered plan is after the out-of-order key issue
of DOTA (Qu et al., ASPLOS 2022) as SOFA (MICRO 2024, IV-D) describes it.

Worked example (T = 2), keep mask of two rows: row 0 keeps keys 0, 2, 3; row 1 keeps keys 1, 2.

    step        in order                            reordered
    0           key 0 for row 0, key 1 for row 1    key 2 for both
    1           key 2 for both                      key 0 for row 0, key 1 for row 1
    2           key 3 for row 0                     key 3 for row 0

Either way 4 loads in 3 steps.

Inner loops index with np.uintp: Numba then leaves out the check for an index that counts from the end.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

Plan: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]


@njit()
def _num_keys(indptr: NDArray[np.int64], indices: NDArray[np.int32]) -> int:
    """One more than the highest kept key."""
    highest = -1
    for row in range(len(indptr) - 1):
        if indptr[row + 1] > indptr[row]:
            highest = max(highest, int(indices[indptr[row + 1] - 1]))
    return highest + 1


@njit()
def plan_in_order(indptr: NDArray[np.int64], indices: NDArray[np.int32], group_rows: int) -> Plan:
    """Step t gives each row its t-th kept key, ascending; rows that get the same key in the same step share one load.

    `indptr` [L_q + 1], `indices` [nnz]: the mask as CSR, keys ascending; `group_rows` is T, at most 8.
    """
    num_rows = len(indptr) - 1
    groups = (num_rows + group_rows - 1) // group_rows
    step_ptr = np.zeros(groups + 1, np.int64)
    load_ptr = np.zeros(len(indices) + 1, np.int64)
    load_key = np.empty(len(indices), np.int32)
    load_rows = np.zeros(len(indices), np.uint8)
    load_of = np.full(_num_keys(indptr, indices), -1, np.int64)  # the last load of each key
    cursor = np.empty(group_rows, np.int64)
    row_bit = np.empty(group_rows, np.uint8)
    steps = 0
    loads = 0
    for group in range(groups):
        first = group * group_rows
        last = min(first + group_rows, num_rows)
        done = 0
        while True:
            # the same rows take part in the next `run` steps: until the shortest of them ends
            rows = 0
            run = len(indices)
            for row in range(first, last):
                left = indptr[row + 1] - indptr[row] - done
                if left > 0:
                    run = min(run, left)
                    cursor[rows] = indptr[row] + done
                    row_bit[rows] = 1 << (row - first)
                    rows += 1
            if rows == 0:
                break
            done += run
            for offset in range(run):
                start = loads
                for row in range(rows):
                    # a key loaded before this step gets the next load; no branch, as whether it was is hard to predict
                    key = np.uintp(indices[np.uintp(cursor[row] + offset)])
                    old = load_of[key]
                    fresh = int(old < start)
                    load = old ^ ((old ^ loads) & -fresh)
                    load_of[key] = load
                    place = np.uintp(load)
                    load_key[place] = key
                    load_rows[place] |= row_bit[row]
                    loads += fresh
                steps += 1
                load_ptr[steps] = loads
        step_ptr[group + 1] = steps
    return step_ptr, load_ptr[: steps + 1], load_key[:loads], load_rows[:loads]


@njit()
def subset_order(group_rows: int) -> NDArray[np.int64]:
    """All non-empty row sets of a group as bitmasks, most rows first, then the lowest bitmask."""
    size = np.zeros(1 << group_rows, np.int64)
    for subset in range(1, len(size)):
        size[subset] = size[subset >> 1] + (subset & 1)
    order = np.empty(len(size) - 1, np.int64)
    at = 0
    for rows in range(group_rows, 0, -1):
        for subset in range(1, len(size)):
            if size[subset] == rows:
                order[at] = subset
                at += 1
    return order


@njit()
def _fill_queues(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    first: int,
    last: int,
    wanted: NDArray[np.uint8],
    queue: NDArray[np.int32],
    tail: NDArray[np.int64],
) -> None:
    """Queue each key of rows first..last-1 under the exact set of rows that want it, ascending.

    A key is queued when the lowest of its rows comes by. That row is the same for all keys of a set and its keys
    ascend, so the queue does too. `tail` [sets]: the next place of each set in `queue`, moved on. `wanted` [keys] is 0
    on entry and on return; meanwhile it holds the rows that want a key.
    """
    for row in range(first, last):
        bit = np.uint8(1 << (row - first))
        for at in range(np.uintp(indptr[row]), np.uintp(indptr[row + 1])):
            wanted[np.uintp(indices[at])] |= bit
    for row in range(first, last):
        for at in range(np.uintp(indptr[row]), np.uintp(indptr[row + 1])):
            # a key queued before is now wanted by no row: it goes to the end of set 0 and is overwritten there
            key = np.uintp(indices[at])
            subset = np.uintp(wanted[key])
            wanted[key] = 0
            queue[np.uintp(tail[subset])] = key
            tail[subset] += subset != 0


@njit()
def _drop_empty(
    waiting: NDArray[np.int64], count: int, head: NDArray[np.int64], tail: NDArray[np.int64]
) -> tuple[int, int]:
    """Drop the sets whose queue is empty from the first `count` of `waiting`, keeping their order.

    Returns how many are left, and the rows that still want keys: those of the sets left.
    """
    left = 0
    idle = 0
    for at in range(count):
        subset = waiting[at]
        waiting[left] = subset
        filled = int(tail[subset] > head[subset])
        left += filled
        idle |= subset & -filled
    return left, idle


@njit()
def _next_step(waiting: NDArray[np.int64], count: int, idle: int, chosen: NDArray[np.int64]) -> int:
    """Choose the sets that a step serves from the `count` non-empty ones, in issue order; returns how many.

    One pass is enough, since `idle` only shrinks.
    """
    width = 0
    for at in range(count):
        if waiting[at] & ~idle == 0:
            idle ^= waiting[at]
            chosen[width] = waiting[at]
            width += 1
            if idle == 0:
                break
    return width


@njit()
def plan_reordered(indptr: NDArray[np.int64], indices: NDArray[np.int32], group_rows: int) -> Plan:
    """Each key is loaded once: keys wait in one queue per exact row set, and a step serves the largest sets first.

    In a step, `idle` = the rows that still want keys. The head of the non-empty queue whose set fits in `idle` with the
    most rows (ties: the lowest bitmask) is served and its rows leave `idle`, until no queue fits. What is served
    depends only on which queues are empty, so all steps until one more runs empty are alike and are written as one run.
    Arguments as in `plan_in_order`.
    """
    num_rows = len(indptr) - 1
    groups = (num_rows + group_rows - 1) // group_rows
    num_sets = 1 << group_rows
    order = subset_order(group_rows)
    step_ptr = np.zeros(groups + 1, np.int64)
    load_ptr = np.zeros(len(indices) + 1, np.int64)
    load_key = np.empty(len(indices), np.int32)
    load_rows = np.empty(len(indices), np.uint8)
    wanted = np.zeros(_num_keys(indptr, indices), np.uint8)
    depth = 1  # no queue is longer than a row, so each gets that much space
    for row in range(num_rows):
        depth = max(depth, indptr[row + 1] - indptr[row])
    queue = np.empty(num_sets * depth, np.int32)
    head = np.empty(num_sets, np.int64)
    tail = np.empty(num_sets, np.int64)
    waiting = np.empty(num_sets, np.int64)  # the sets whose queue is not empty, in issue order
    chosen = np.empty(group_rows, np.int64)
    steps = 0
    loads = 0
    for group in range(groups):
        for subset in range(num_sets):
            head[subset] = tail[subset] = subset * depth
        first = group * group_rows
        _fill_queues(indptr, indices, first, min(first + group_rows, num_rows), wanted, queue, tail)
        count = num_sets - 1
        for at in range(count):
            waiting[at] = order[at]
        while True:
            count, idle = _drop_empty(waiting, count, head, tail)
            if count == 0:
                break
            width = _next_step(waiting, count, idle, chosen)
            run = depth
            for at in range(width):
                run = min(run, tail[chosen[at]] - head[chosen[at]])
            for at in range(width):
                subset = chosen[at]
                load = loads + at
                for place in range(np.uintp(head[subset]), np.uintp(head[subset] + run)):
                    load_key[np.uintp(load)] = queue[place]
                    load_rows[np.uintp(load)] = subset
                    load += width
                head[subset] += run
            for _ in range(run):
                loads += width
                steps += 1
                load_ptr[steps] = loads
        step_ptr[group + 1] = steps
    return step_ptr, load_ptr[: steps + 1], load_key[:loads], load_rows[:loads]
