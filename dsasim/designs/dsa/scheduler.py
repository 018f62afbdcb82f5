"""Token-parallel scheduler: a tile's mask becomes the plan the array executes.

The plan itself is a function of the mask alone (`dataflows.plan`); the scheduler's time, and its worked example, are in
`kernels.schedule`. In a design without a predictor the masks are there from the start and the scheduler reserves the
mask slot itself.

A reordered plan overwrites the mask in its slot: an entry a load, its key number and row set, in whole bytes. Slots are
sized for the longest plan: rows that keep as many keys as they can, no key in common unless they must. In order
there is nothing to write down: the mask itself, read row by row, lists each row's keys.

A key that finds its ID queue full waits in the same slot until it is issued, in its set's linked list: its number and
the place of the next, in whole bytes. The lists use the end of the group's share, which the plan reaches last; a slot
is not enlarged for them.

Worked example: 512 keys and T = 4 make entries of 9 + 4 bits, 2 bytes; a row's share of a slot is 512 / 8 = 64 bytes in
order. Reordered it is 512 * 2 / 4 = 256 bytes for rows that may keep everything and 4 * 52 * 2 / 4 = 104 for rows that
keep at most 52 keys. A spilled key takes 9 + 9 bits, 3 bytes.
"""

import numpy as np

from dsasim.config.schema import ArchConfig, SchedulerConfig
from dsasim.dataflows.plan import Plan, group_spills
from dsasim.designs.dsa.events import Groups, tile_sums
from dsasim.designs.dsa.work import Work
from dsasim.kernels.schedule import schedule_tiles
from dsasim.machine.spec import Silicon, absent
from dsasim.silicon.operations import operation, register
from dsasim.sim.components import silicon_of

KEY_NUMBER_BITS = 16
"""A key's number in an ID queue: sequences up to 65536 keys."""


def plan_entry_bytes(num_keys: int, group_rows: int) -> int:
    """Bytes of one load in a reordered plan: a key number of `num_keys` and a set of `group_rows` rows."""
    return -(-(key_bits(num_keys) + group_rows) // 8)


def overflow_entry_bytes(num_keys: int) -> int:
    """Bytes of one spilled key: a key number of `num_keys` and the place of the next entry of its list."""
    return -(-2 * key_bits(num_keys) // 8)


def key_bits(num_keys: int) -> int:
    """Bits of the number of one of `num_keys` keys, at least one: 9 for 512, 10 for 513."""
    return max(1, (num_keys - 1).bit_length())


def mask_row_bytes(config: SchedulerConfig, num_keys: int, most_kept: int) -> int:
    """Bytes of a mask slot that one row needs: its mask bits, or its share of the longest plan over them.

    `most_kept`: keys that a row can keep; T rows want at most T times as many, and no key twice.
    """
    mask_bytes = -(-num_keys // 8)
    if config.order == "in_order":
        return mask_bytes
    rows = config.token_parallelism
    longest = min(num_keys, rows * most_kept)
    return max(mask_bytes, -(-longest * plan_entry_bytes(num_keys, rows) // rows))


def tile_jobs(
    config: SchedulerConfig,
    plan: Plan,
    groups: Groups,
    groups_per_tile: int,
    num_keys: int,
    step_rows: int | None = None,
) -> tuple[list[Work], list[int]]:
    """The tiles of some groups, and the bytes of each tile's plan; `num_keys`: L_k, how wide a key's number is.

    The mask is read; a reordered plan is written over it, and spilled keys are written and read back. In order the mask
    itself is the plan. `step_rows`: rows of PEs that a step has, T where not said.
    """
    rows, loads, spills = config.token_parallelism, plan.group_loads(), group_spills(config, plan)
    cycles = schedule_tiles(
        groups.spans, loads, spills, groups_per_tile, config.num_schedulers, config.keys_classified_per_cycle
    )
    idle = np.diff(plan.step_ptr) * (step_rows or rows) - plan.group_served()
    reordered = config.order == "reordered"
    entry, spilled_entry = plan_entry_bytes(num_keys, rows), overflow_entry_bytes(num_keys)
    sums = (tile_sums(each, groups_per_tile) for each in (groups.spans, loads, spills, idle, groups.mask_bytes))
    works, plan_bytes = [], []
    for at, (spans, issued, spilled, idle_slots, mask_bytes) in enumerate(zip(*sums, strict=True)):
        plan_bytes.append(issued * entry if reordered else mask_bytes)
        events = {
            "keys_classified": spans,
            "keys_issued": issued,
            "keys_spilled": spilled,
            "idle_row_slots": idle_slots,
            "mask_buffer_read_bytes": mask_bytes + spilled * spilled_entry,
            "mask_buffer_write_bytes": (issued * entry if reordered else 0) + spilled * spilled_entry,
        }
        works.append(Work(int(cycles[at]), 0, events, "plan"))
    return works, plan_bytes


def silicon(arch: ArchConfig) -> Silicon:
    """Schedulers, each of classifiers, ID queues in registers, and an encoder that finds a queue; none if dense.

    A classifier counts the T mask bits of a key position: T/64 of a 64-bit popcount; there are
    keys_classified_per_cycle. ID queues: 2^T - 1 (one a row subset) when reordered, T (one a row, refilled from the
    mask as it drains) in order, each of id_queue_entries x KEY_NUMBER_BITS, and all twice, since one group is
    classified while another is issued. T = 4, 16 entries, reordered: 2 x 15 x 16 x 16 = 7680 register bits. A
    classified position is one count; an issued key was written to a queue, is read from it, and needs one look through
    the queues, 16 an encoder. What a spilled key costs beyond that is in the mask buffer's bytes.
    """
    if arch.predictor.keeps_all:
        return absent("keys_classified", "keys_issued", "keys_spilled")
    design, node = arch.scheduler, arch.technology_nm
    num_queues = 2**design.token_parallelism - 1 if design.order == "reordered" else design.token_parallelism
    classify = operation("popcount", 64, node) * (design.token_parallelism / 64)
    key_number = register(KEY_NUMBER_BITS, node)
    find = operation("leading_zeros", 16, node) * -(-num_queues // 16)
    queues = key_number * (2 * num_queues * design.id_queue_entries)
    silicon = classify * design.keys_classified_per_cycle + queues + find
    return silicon_of(
        design.num_schedulers,
        silicon,
        {"keys_classified": classify, "keys_issued": key_number * 2 + find},
        f"assumed, two sets of ID queues of {design.id_queue_entries} x {KEY_NUMBER_BITS} bits",
        keys_spilled="in the bytes of the mask buffer",
    )
