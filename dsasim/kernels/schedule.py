"""The token-parallel scheduler's own time: classifying the keys of each group and issuing its loads.

Rules (design section 2.3). A scheduler reads the mask of a group and classifies `keys_per_cycle` key positions a cycle
into its ID queues, ceil(span / keys_per_cycle) cycles for the `span` positions the group may keep; then it issues one
load a cycle. The queues are double: the next group is classified while this one is issued. So groups g = 0, 1, ... of
one scheduler take classify(0) + sum over g of max(issue(g), classify(g + 1)), with classify = 0 after the last. Group g
of a tile goes to scheduler g mod num_schedulers; the tile's plan is handed over when the slowest is done, after at
least one cycle.

Worked example: one scheduler, keys_per_cycle = 4, two groups with spans 8 and 8 and 5 and 1 loads:
2 + max(5, 2) + max(1, 0) = 8 cycles.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def schedule_tiles(
    group_spans: NDArray[np.int64],
    group_loads: NDArray[np.int64],
    groups_per_tile: int,
    num_schedulers: int,
    keys_per_cycle: int,
) -> NDArray[np.int64]:
    """Return the scheduler's cycles for each tile, from `group_spans` [groups] and `group_loads` [groups]."""
    num_groups = len(group_loads)
    tiles = (num_groups + groups_per_tile - 1) // groups_per_tile
    cycles = np.ones(tiles, np.int64)
    for tile in range(tiles):
        end = min((tile + 1) * groups_per_tile, num_groups)
        for scheduler in range(num_schedulers):
            issuing = 0
            total = 0
            for group in range(tile * groups_per_tile + scheduler, end, num_schedulers):
                classifying = (group_spans[group] + keys_per_cycle - 1) // keys_per_cycle
                total += max(issuing, classifying)
                issuing = group_loads[group]
            cycles[tile] = max(cycles[tile], total + issuing)
    return cycles
