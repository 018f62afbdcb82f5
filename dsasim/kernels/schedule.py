"""The token-parallel scheduler's own time: classifying the keys of each group and issuing its loads.

Rules. A scheduler reads `keys_per_cycle` key positions of a group's mask a cycle and classifies them into its ID
queues, one queue for each exact set of rows. A key that finds its queue full (`id_queue_entries` keys of its group are
in it) is spilled: classification pauses for one cycle, in which the key is written to its set's overflow list in the
mask slot. Then the group's loads are issued in plan order, one a cycle, and each spilled key takes one cycle more, in
which it is read back. So group g, which may keep `span` positions, takes

    classify(g) = ceil(span / keys_per_cycle) + spills        issue(g) = loads + spills
    spills      = sum over row sets of max(0, keys of the set - id_queue_entries)

In order there are no queues, so spills = 0. Queues and list heads are double: the next group is classified while this
one is issued, so groups g = 0, 1, ... of one scheduler take classify(0) + sum over g of max(issue(g), classify(g + 1)),
with classify = 0 after the last. Group g of a tile goes to scheduler g mod num_schedulers, unless its span is 0: there
is nothing to schedule. The tile's plan is handed over PIPELINE_CYCLES after the slowest scheduler's last load. The same
machine in Amaranth: tests/rtl/hardware/scheduler.py.

Worked example: one scheduler, keys_per_cycle = 4, id_queue_entries = 2, two groups of span 8. Group 0 has three keys
that only row 0 wants and two that both rows want: 1 spill, classify 2 + 1, issue 5 + 1. Group 1 has one key: classify
2, issue 1. The tile takes 3 + max(6, 2) + 1 + PIPELINE_CYCLES = 12 cycles.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

PIPELINE_CYCLES = 2
"""A tile's first and last cycle: the first mask word is read into its register, the last plan entry is written back."""


@njit()
def spilled_keys(
    step_ptr: NDArray[np.int64], load_ptr: NDArray[np.int64], load_rows: NDArray[np.uint8], id_queue_entries: int
) -> NDArray[np.int64]:
    """Return the keys of each group [groups] that find their ID queue full, from a reordered plan (`kernels.plan`).

    A reordered plan loads each key once, for its exact row set.
    """
    groups = len(step_ptr) - 1
    spills = np.zeros(groups, np.int64)
    waiting = np.zeros(256, np.int64)
    for group in range(groups):
        waiting[:] = 0
        found = 0
        for load in range(load_ptr[step_ptr[group]], load_ptr[step_ptr[group + 1]]):
            rows = load_rows[load]
            waiting[rows] += 1
            found += waiting[rows] > id_queue_entries
        spills[group] = found
    return spills


@njit()
def schedule_tiles(
    group_spans: NDArray[np.int64],
    group_loads: NDArray[np.int64],
    group_spills: NDArray[np.int64],
    groups_per_tile: int,
    num_schedulers: int,
    keys_per_cycle: int,
) -> NDArray[np.int64]:
    """Return the scheduler's cycles for each tile, from spans, loads and spilled keys of each group [groups]."""
    num_groups = len(group_loads)
    tiles = (num_groups + groups_per_tile - 1) // groups_per_tile
    cycles = np.zeros(tiles, np.int64)
    for tile in range(tiles):
        end = min((tile + 1) * groups_per_tile, num_groups)
        for scheduler in range(num_schedulers):
            issuing = 0
            total = 0
            for group in range(tile * groups_per_tile + scheduler, end, num_schedulers):
                if group_spans[group] == 0:
                    continue
                classifying = (group_spans[group] + keys_per_cycle - 1) // keys_per_cycle + group_spills[group]
                total += max(issuing, classifying)
                issuing = group_loads[group] + group_spills[group]
            cycles[tile] = max(cycles[tile], total + issuing)
    return cycles + PIPELINE_CYCLES
