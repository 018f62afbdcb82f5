"""Token-parallel scheduler: a tile's mask becomes the plan the array executes.

The plan itself is a function of the mask alone (`dataflow.plan`); the scheduler's time, and its worked example, are in
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

from dsasim.config.schema import SchedulerConfig


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
