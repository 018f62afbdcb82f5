"""The token-parallel PE array with lanes that do not wait for each other: how long each job takes, and for what.

Rules. As in `kernels.array`, but each lane does the steps of its groups alone. At the start of a step it asks for all
keys of the step, in load order; a bank delivers one vector in read_cycles, first come first served, in the order of
(start of the step, lane). A step ends at max(its start + vector_cycles, the end of its last read), and the lane's next
one starts there. Nothing is shared between lanes: every load is a read. A lane is busy for vector_cycles a step and in
bank conflict for the rest; a job lasts as long as its slowest lane, the others wait (imbalance). A job with nothing
kept takes one cycle, imbalance for every lane.

Worked example: 2 lanes, 2 banks, vector_cycles = 2, read_cycles = 2. Lane 0 has the steps {key 0} {key 1}, lane 1 has
{key 2} {key 3}. At 0 both ask bank 0: lane 0 is served until 2, lane 1 until 4. Lane 0 asks bank 1 at 2 and is done at
4; lane 1 asks bank 1 at 4 and is done at 6. The job takes 6 cycles and 4 reads; both lanes are busy 4, lane 1 is in
conflict 2, lane 0 waits 2. In lock-step it takes 8.
"""

import heapq

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.array import Walk, banks_of_keys, before_first_group, find_step
from dsasim.kernels.jit import njit
from dsasim.kernels.key_blocks import Bounds, tile_bounds


@njit()
def walk_blocks_independently(
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

    Arguments as in `kernels.array.walk_blocks`.
    """
    blocks = len(bounds)
    cycles = np.ones(blocks, np.int64)
    reads = np.zeros(blocks, np.int64)
    busy = np.zeros((blocks, lanes), np.int64)
    conflict = np.zeros((blocks, lanes), np.int64)
    bank_of = banks_of_keys(load_key, num_banks)
    free_at = np.zeros(num_banks, np.int64)
    group = np.empty(lanes, np.int64)
    step = np.empty(lanes, np.int64)
    end = np.empty(lanes, np.int64)
    for block in range(blocks):
        end_group, first_step, end_step = bounds[block, 1], bounds[block, 2], bounds[block, 3]
        reads[block] = load_ptr[end_step] - load_ptr[first_step]
        for bank in range(num_banks):
            free_at[bank] = 0
        before_first_group(bounds[block, 0], group, step, end)
        # steps to come as start * lanes + lane: the least is the next to ask the banks
        coming = [
            lane
            for lane in range(lanes)
            if find_step(lane, group, step, end, step_ptr, end_group, first_step, end_step)
        ]
        while coming:
            start, lane = coming[0] // lanes, coming[0] % lanes
            done = start + vector_cycles
            for load in range(load_ptr[step[lane]], load_ptr[step[lane] + 1]):
                bank = bank_of[load_key[load]]
                free_at[bank] = max(free_at[bank], start) + read_cycles
                done = max(done, free_at[bank])
            busy[block, lane] += vector_cycles
            conflict[block, lane] += done - start - vector_cycles
            cycles[block] = max(cycles[block], done)
            step[lane] += 1
            if find_step(lane, group, step, end, step_ptr, end_group, first_step, end_step):
                heapq.heapreplace(coming, done * lanes + lane)
            else:
                heapq.heappop(coming)
    return cycles, reads, busy, conflict


@njit()
def walk_tiles_independently(
    groups_per_tile: int,
    step_ptr: NDArray[np.int64],
    load_ptr: NDArray[np.int64],
    load_key: NDArray[np.int32],
    lanes: int,
    num_banks: int,
    vector_cycles: int,
    read_cycles: int,
) -> Walk:
    """`walk_blocks_independently` of whole tiles, in one call."""
    bounds = tile_bounds(step_ptr, groups_per_tile)
    return walk_blocks_independently(bounds, step_ptr, load_ptr, load_key, lanes, num_banks, vector_cycles, read_cycles)
