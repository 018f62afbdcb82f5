"""The token-parallel PE array walking a plan: how long each tile takes, and where its cycles went.

Rules. The array takes one job after the other: a tile, or a key block of a tile whose keys do not fit the buffer
(`kernels.key_blocks`). Lane l works through groups l, l + lanes, ... of the job, one plan step after the other; all
lanes start each step together. Key j lies in bank j mod banks; a key that several lanes want in the same step is read
once. A step lasts max(vector_cycles, most reads of any one bank * read_cycles), where

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
from numpy.typing import NDArray

from dsasim.kernels.jit import njit
from dsasim.kernels.key_blocks import Bounds, tile_bounds

Walk: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@njit()
def banks_of_keys(load_key: NDArray[np.int32], num_banks: int) -> NDArray[np.uint16]:
    """The bank of each key up to the highest loaded [keys]: a table, since a division takes longer than the walk."""
    num_keys = 0
    for key in load_key:
        num_keys = max(num_keys, key + 1)
    bank_of = np.empty(num_keys, np.uint16)
    bank = 0
    for key in range(num_keys):
        bank_of[key] = bank
        bank = bank + 1 if bank + 1 < num_banks else 0
    return bank_of


@njit()
def before_first_group(
    first_group: int, group: NDArray[np.int64], step: NDArray[np.int64], end: NDArray[np.int64]
) -> None:
    """Put all lanes before their first group: `find_step` moves each on to it."""
    lanes = len(group)
    for lane in range(lanes):
        group[lane] = first_group + lane - lanes
        step[lane] = end[lane] = 0


@njit()
def find_step(
    lane: int,
    group: NDArray[np.int64],
    step: NDArray[np.int64],
    end: NDArray[np.int64],
    step_ptr: NDArray[np.int64],
    end_group: int,
    first_step: int,
    end_step: int,
) -> bool:
    """Whether a lane still has a step to do; moves on to its next group that has some when its own is at its end.

    `group`, `step`, `end` [lanes]: each lane's group, its next step, and one past the last step of the group.
    """
    while group[lane] < end_group and step[lane] >= end[lane]:
        group[lane] += len(group)
        if group[lane] < end_group:
            step[lane] = max(step_ptr[group[lane]], first_step)
            end[lane] = min(step_ptr[group[lane] + 1], end_step)
    return bool(group[lane] < end_group)


@njit()
def walk_blocks(
    bounds: Bounds,
    step_ptr: NDArray[np.int64],
    load_ptr: NDArray[np.int64],
    load_key: NDArray[np.int32],
    lanes: int,
    num_banks: int,
    vector_cycles: int,
    read_cycles: int,
) -> Walk:
    """Return per key block: cycles and vector reads [blocks], lane busy and lane bank_conflict cycles [blocks, lanes].

    `bounds`: whole tiles or key blocks (see `kernels.key_blocks`); `step_ptr`, `load_ptr`, `load_key` are the plan of a
    head (see `kernels.plan`).
    """
    blocks = len(bounds)
    cycles = np.zeros(blocks, np.int64)
    reads = np.zeros(blocks, np.int64)
    busy = np.zeros((blocks, lanes), np.int64)
    conflict = np.zeros((blocks, lanes), np.int64)
    bank_of = banks_of_keys(load_key, num_banks)
    key_seen = np.full(len(bank_of), -1, np.int64)
    bank_reads = np.zeros(num_banks, np.uint16)  # in one step, so at most lanes * T
    group = np.empty(lanes, np.int64)
    step = np.zeros(lanes, np.int64)
    end = np.zeros(lanes, np.int64)
    now = np.empty(lanes, np.int64)  # `step` of the lanes that work
    stamp = 0
    for block in range(blocks):
        end_group, first_step, end_step = bounds[block, 1], bounds[block, 2], bounds[block, 3]
        before_first_group(bounds[block, 0], group, step, end)
        while True:
            # the same lanes work for the next `run` steps: until one of them ends its group
            working = 0
            run = len(load_ptr)
            for lane in range(lanes):
                if find_step(lane, group, step, end, step_ptr, end_group, first_step, end_step):
                    now[working] = step[lane]
                    working += 1
                    run = min(run, end[lane] - step[lane])
            if working == 0:
                break
            duration = 0
            distinct = 0
            for offset in range(run):
                for bank in range(num_banks):
                    bank_reads[bank] = 0
                most = 0
                for at in range(working):
                    first_load, end_load = load_ptr[now[at] + offset], load_ptr[now[at] + offset + 1]
                    # np.uintp: Numba leaves out the check for an index that counts from the end
                    for load in range(np.uintp(first_load), np.uintp(end_load)):
                        # no branch: whether another lane reads the key, or another key the bank, is hard to predict
                        key = np.uintp(load_key[load])
                        fresh = int(key_seen[key] != stamp)
                        key_seen[key] = stamp
                        at_bank = np.uintp(bank_of[key])
                        count = bank_reads[at_bank] + fresh
                        bank_reads[at_bank] = count
                        most = max(most, count)
                        distinct += fresh
                stamp += 1
                duration += max(vector_cycles, most * read_cycles)
            cycles[block] += duration
            reads[block] += distinct
            for lane in range(lanes):
                if group[lane] < end_group:
                    busy[block, lane] += run * vector_cycles
                    conflict[block, lane] += duration - run * vector_cycles
                    step[lane] += run
        cycles[block] = max(cycles[block], 1)
    return cycles, reads, busy, conflict


@njit()
def walk_tiles(
    groups_per_tile: int,
    step_ptr: NDArray[np.int64],
    load_ptr: NDArray[np.int64],
    load_key: NDArray[np.int32],
    lanes: int,
    num_banks: int,
    vector_cycles: int,
    read_cycles: int,
) -> Walk:
    """`walk_blocks` of whole tiles, in one call: heads of short inputs take less time than calls from Python."""
    bounds = tile_bounds(step_ptr, groups_per_tile)
    return walk_blocks(bounds, step_ptr, load_ptr, load_key, lanes, num_banks, vector_cycles, read_cycles)
