"""Where a burst lies: its number (address / access bytes) is cut into fields from the least significant bit on.

A field may come in several pieces. Then some fields are XORed with bits of the column (`mop4`).
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.dram_timing import BANKS, GROUPS, RANKS, STACKS
from dsasim.kernels.jit import njit

# address fields; RANK is the pseudo-channel of HBM, STACK the SID of HBM3
AT_CHANNEL, AT_RANK, AT_STACK, AT_GROUP, AT_BANK, AT_ROW, AT_COLUMN = 0, 1, 2, 3, 4, 5, 6
# fields of a piece: size = 1 << BITS, or BITS = -1; SHIFT is its place in the field
FIELD, SIZE, BITS, SHIFT = 0, 1, 2, 3

Ints = NDArray[np.int64]


@njit(forceinline=True)
def locate(fixed: Ints, pieces: Ints, hashes: Ints, burst: int) -> tuple[int, int, int]:
    """(channel, bank numbered through all channels, row) of a burst; what lies past the capacity wraps.

    `pieces` [pieces, 4] from the least significant; `hashes` [hashes, 3]: a field, and the shift and mask of the column
    bits that it is XORed with.
    """
    channel = rank = stack = group = bank = row = column = 0
    for at in range(len(pieces)):
        if pieces[at, BITS] < 0:
            value = burst % pieces[at, SIZE]
            burst //= pieces[at, SIZE]
        else:
            value = burst & (pieces[at, SIZE] - 1)
            burst >>= pieces[at, BITS]
        value <<= pieces[at, SHIFT]
        field = pieces[at, FIELD]
        if field == AT_COLUMN:
            column |= value
        elif field == AT_ROW:
            row |= value
        elif field == AT_BANK:
            bank |= value
        elif field == AT_GROUP:
            group |= value
        elif field == AT_RANK:
            rank |= value
        elif field == AT_CHANNEL:
            channel |= value
        else:
            stack |= value
    for at in range(len(hashes)):
        value = column >> hashes[at, 1] & hashes[at, 2]
        field = hashes[at, 0]
        if field == AT_BANK:
            bank ^= value
        elif field == AT_GROUP:
            group ^= value
        elif field == AT_RANK:
            rank ^= value
        elif field == AT_ROW:
            row ^= value
        else:
            stack ^= value
    unit = (channel * fixed[RANKS] + rank) * fixed[STACKS] + stack
    return channel, (unit * fixed[GROUPS] + group) * fixed[BANKS] + bank, row
