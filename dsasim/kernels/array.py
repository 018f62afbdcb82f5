"""The token-parallel PE array walking a plan: how long each tile takes, and where its cycles went.

Rules (design section 2.4). The array takes one job after the other: a tile, or a part of a tile whose keys do not fit
the buffer (`kernels.parts`). Lane l works through groups l, l + lanes, ... of the job, one plan step after the other;
all lanes start each step together. Key j lies in bank j mod banks; a key that several lanes want in the same step is
read once. A step lasts max(vector_cycles, most reads of any one bank * read_cycles), where

    vector_cycles = ceil(d_head / macs_per_row)         a row's dot product with one key
    read_cycles   = ceil(vector bytes / port bytes)     one bank delivering one key

A lane that takes part in a step is busy for vector_cycles and in bank conflict for the excess; a lane whose groups are
done waits (imbalance). A tile with nothing kept takes one cycle, imbalance for every lane.

Worked example: 2 lanes, 2 banks, vector_cycles = 2, read_cycles = 2. Lane 0 has one group with steps {key 0}, {key 1};
lane 1 has one group with the single step {key 2}. Step 0 reads keys 0 and 2, both in bank 0: 4 cycles, so both lanes
are busy 2 and in conflict 2. Step 1 reads key 1: 2 cycles; lane 1 waits 2. The tile takes 6 cycles and 3 vector reads.
"""

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dsasim.kernels.parts import Bounds, tile_bounds

Walk: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@njit(cache=True)
def walk_tiles(
    step_ptr: NDArray[np.int64],
    load_ptr: NDArray[np.int64],
    load_key: NDArray[np.int32],
    groups_per_tile: int,
    lanes: int,
    num_banks: int,
    vector_cycles: int,
    read_cycles: int,
) -> Walk:
    """Walk whole tiles of `groups_per_tile` groups (see `walk_parts`)."""
    bounds = tile_bounds(step_ptr, groups_per_tile)
    return walk_parts(bounds, step_ptr, load_ptr, load_key, lanes, num_banks, vector_cycles, read_cycles)


@njit(cache=True)
def walk_parts(
    bounds: Bounds,
    step_ptr: NDArray[np.int64],
    load_ptr: NDArray[np.int64],
    load_key: NDArray[np.int32],
    lanes: int,
    num_banks: int,
    vector_cycles: int,
    read_cycles: int,
) -> Walk:
    """Return per part: cycles and vector reads [parts], lane busy and lane bank_conflict cycles [parts, lanes].

    `bounds`: the tiles, or parts of them (see `kernels.parts`); `step_ptr`, `load_ptr`, `load_key` are the plan of one
    head (see `kernels.plan`).
    """
    parts = len(bounds)
    cycles = np.zeros(parts, np.int64)
    reads = np.zeros(parts, np.int64)
    busy = np.zeros((parts, lanes), np.int64)
    conflict = np.zeros((parts, lanes), np.int64)
    num_keys = 0
    for key in load_key:
        num_keys = max(num_keys, key + 1)
    key_seen = np.full(num_keys, -1, np.int64)
    bank_seen = np.full(num_banks, -1, np.int64)
    bank_reads = np.zeros(num_banks, np.int64)
    step = np.zeros(lanes, np.int64)
    last = np.zeros(lanes, np.int64)  # where the steps of the lane's group end
    group = np.empty(lanes, np.int64)
    stamp = 0
    for part in range(parts):
        end_group, first_step, end_step = bounds[part, 1], bounds[part, 2], bounds[part, 3]
        for lane in range(lanes):
            group[lane] = bounds[part, 0] + lane - lanes
            step[lane] = last[lane] = 0
        while True:
            most = 0
            working = 0
            for lane in range(lanes):
                while group[lane] < end_group and step[lane] >= last[lane]:
                    group[lane] += lanes
                    if group[lane] < end_group:
                        step[lane] = max(step_ptr[group[lane]], first_step)
                        last[lane] = min(step_ptr[group[lane] + 1], end_step)
                if group[lane] >= end_group:
                    continue
                working += 1
                for load in range(load_ptr[step[lane]], load_ptr[step[lane] + 1]):
                    key = load_key[load]
                    if key_seen[key] == stamp:
                        continue
                    key_seen[key] = stamp
                    bank = key % num_banks
                    if bank_seen[bank] != stamp:
                        bank_seen[bank] = stamp
                        bank_reads[bank] = 0
                    bank_reads[bank] += 1
                    most = max(most, bank_reads[bank])
                    reads[part] += 1
            if working == 0:
                break
            stamp += 1
            duration = max(vector_cycles, most * read_cycles)
            cycles[part] += duration
            for lane in range(lanes):
                if group[lane] < end_group:
                    busy[part, lane] += vector_cycles
                    conflict[part, lane] += duration - vector_cycles
                    step[lane] += 1
        cycles[part] = max(cycles[part], 1)
    return cycles, reads, busy, conflict
