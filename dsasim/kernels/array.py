"""The token-parallel PE array walking a plan: how long each tile takes, and where its cycles went.

Rules (design section 2.4). Lane l works through groups l, l + lanes, ... of the tile, one plan step after the other;
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

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return per tile: cycles and vector reads [tiles], lane busy and lane bank_conflict cycles [tiles, lanes].

    `step_ptr`, `load_ptr`, `load_key` are the plan of one head (see `kernels.plan`).
    """
    num_groups = len(step_ptr) - 1
    tiles = (num_groups + groups_per_tile - 1) // groups_per_tile
    cycles = np.zeros(tiles, np.int64)
    reads = np.zeros(tiles, np.int64)
    busy = np.zeros((tiles, lanes), np.int64)
    conflict = np.zeros((tiles, lanes), np.int64)
    num_keys = 0
    for key in load_key:
        num_keys = max(num_keys, key + 1)
    key_seen = np.full(num_keys, -1, np.int64)
    bank_seen = np.full(num_banks, -1, np.int64)
    bank_reads = np.zeros(num_banks, np.int64)
    step = np.empty(lanes, np.int64)
    group = np.empty(lanes, np.int64)
    stamp = 0
    for tile in range(tiles):
        end = min((tile + 1) * groups_per_tile, num_groups)
        for lane in range(lanes):
            group[lane] = tile * groups_per_tile + lane
            step[lane] = step_ptr[group[lane]] if group[lane] < end else 0
        while True:
            most = 0
            working = 0
            for lane in range(lanes):
                while group[lane] < end and step[lane] == step_ptr[group[lane] + 1]:
                    group[lane] += lanes
                    if group[lane] < end:
                        step[lane] = step_ptr[group[lane]]
                if group[lane] >= end:
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
                    reads[tile] += 1
            if working == 0:
                break
            stamp += 1
            duration = max(vector_cycles, most * read_cycles)
            cycles[tile] += duration
            for lane in range(lanes):
                if group[lane] < end:
                    busy[tile, lane] += vector_cycles
                    conflict[tile, lane] += duration - vector_cycles
                    step[lane] += 1
        cycles[tile] = max(cycles[tile], 1)
    return cycles, reads, busy, conflict
