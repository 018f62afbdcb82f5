"""Cutting the tiles of a plan into key blocks: each one's keys fit the on-chip cache of vectors (`residency: pool`).

Rules. A key block is a run of consecutive groups of one tile. While its union of keys is larger than the cache it is
halved, the first half taking ceil(groups / 2). One group that is too big is cut between the steps of its plan, each
block taking as many steps as fit. So blocks keep the plan's order, and each is a run of its steps.

Worked example: a cache of 3 vectors, one tile of two groups; group 0 has the steps {0 1} {2} {1 3}, group 1 {2} {3}.
The union is 4 keys, so the tile is halved. Group 0 alone still wants 4 keys: its first two steps fit (0 1 2), the third
makes a block of its own (1 3). Group 1 fits (2 3). Three key blocks.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

Bounds: TypeAlias = NDArray[np.int64]
"""[blocks, 4]: first group, end group, first step, end step of each block in its plan; ends are exclusive."""


@njit()
def tile_bounds(step_ptr: NDArray[np.int64], groups_per_tile: int) -> Bounds:
    """Whole tiles as blocks: `groups_per_tile` groups each, the last may have fewer."""
    num_groups = len(step_ptr) - 1
    tiles = (num_groups + groups_per_tile - 1) // groups_per_tile
    bounds = np.empty((tiles, 4), np.int64)
    for tile in range(tiles):
        first = tile * groups_per_tile
        end = min(first + groups_per_tile, num_groups)
        bounds[tile, 0] = first
        bounds[tile, 1] = end
        bounds[tile, 2] = step_ptr[first]
        bounds[tile, 3] = step_ptr[end]
    return bounds


@njit()
def _end_of_fit(
    load_ptr: NDArray[np.int64],
    load_key: NDArray[np.int32],
    first_step: int,
    end_step: int,
    capacity: int,
    seen: NDArray[np.int64],
    stamp: int,
) -> int:
    """The step before which the union of the steps from `first_step` on fits in `capacity`, at most `end_step`."""
    union = 0
    for step in range(first_step, end_step):
        for load in range(load_ptr[step], load_ptr[step + 1]):
            key = load_key[load]
            union += seen[key] != stamp
            seen[key] = stamp
        if union > capacity:
            return step
    return end_step


@njit()
def _write_union(
    load_key: NDArray[np.int32], first: int, end: int, union_keys: NDArray[np.int32], at: int, wanted: NDArray[np.bool_]
) -> int:
    """Append the distinct keys of loads first..end-1, ascending, at `union_keys[at]`; returns the place after them.

    `wanted` [keys] is false on entry and on return.
    """
    lowest = len(wanted)
    highest = -1
    for load in range(first, end):
        key = int(load_key[load])
        wanted[key] = True
        lowest = min(lowest, key)
        highest = max(highest, key)
    for key in range(lowest, highest + 1):
        if wanted[key]:
            union_keys[at] = key
            at += 1
            wanted[key] = False
    return at


@njit()
def cut_tiles(
    step_ptr: NDArray[np.int64],
    load_ptr: NDArray[np.int64],
    load_key: NDArray[np.int32],
    groups_per_tile: int,
    capacity: int,
) -> tuple[Bounds, NDArray[np.int64], NDArray[np.int32]]:
    """Return the key blocks of a plan: their bounds, and each one's union of keys as CSR (`union_ptr`, `union_keys`).

    `step_ptr`, `load_ptr`, `load_key`: the plan (see `kernels.plan`). ValueError if a step has more than `capacity`
    vectors.
    """
    num_keys = 0
    for key in load_key:
        num_keys = max(num_keys, key + 1)
    seen = np.full(num_keys, -1, np.int64)
    wanted = np.zeros(num_keys, np.bool_)
    tiles = tile_bounds(step_ptr, groups_per_tile)
    # a block has at least one group of its own, or at least one step
    bounds = np.empty((len(step_ptr) + len(load_ptr), 4), np.int64)
    union_ptr = np.zeros(len(bounds) + 1, np.int64)
    union_keys = np.empty(len(load_key), np.int32)
    ends = np.empty(64, np.int64)  # halves still to come, the nearest on top: one more each time the groups halve
    blocks = 0
    stamp = 0
    for tile in range(len(tiles)):
        first = tiles[tile, 0]
        begin = tiles[tile, 2]
        ends[0] = tiles[tile, 1]
        depth = 1
        while depth > 0:
            end = ends[depth - 1]
            stop = _end_of_fit(load_ptr, load_key, begin, step_ptr[end], capacity, seen, stamp)
            stamp += 1
            if stop < step_ptr[end] and end - first > 1:
                ends[depth] = first + (end - first + 1) // 2
                depth += 1
                continue
            if stop == begin and begin < step_ptr[end]:
                raise ValueError("a step reads more vectors than the cache holds")
            bounds[blocks, 0] = first
            bounds[blocks, 1] = end
            bounds[blocks, 2] = begin
            bounds[blocks, 3] = stop
            union_ptr[blocks + 1] = _write_union(
                load_key, load_ptr[begin], load_ptr[stop], union_keys, union_ptr[blocks], wanted
            )
            blocks += 1
            begin = stop
            if stop == step_ptr[end]:
                first = end
                depth -= 1
    return bounds[:blocks].copy(), union_ptr[: blocks + 1].copy(), union_keys[: union_ptr[blocks]].copy()
