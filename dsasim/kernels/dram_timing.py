"""When DRAM commands are legal: a table of JEDEC constraints, applied to the earliest memory cycle of each command.

A rule says: after `preceding` at cycle m, `following` is legal from m + latency on, within a scope: the same bank, the
same bank group, the rank (all its stacks), the channel's other ranks, or the rank's other stacks. "Rank"
stands for the pseudo-channel of HBM, "stack" for HBM3's stack identifier (SID); a stack of a rank is called a unit.
Which rules a memory obeys is data (`model.dram_rules`). One rule has a window and is written here: at most four ACTs a
rank in any nFAW.

Worked example (DDR4-2400R): ACT at cycle 1 makes its RD legal at 1 + nRCD = 17 and not at 16; a PRE at 1 + nRAS = 40.

State, int64, numbered through all channels, so that bank b lies in unit b >> UNIT_SHIFT:

    units [units, UNIT_FIELDS]    earliest cycle of each command as far as rank, stack and channel are concerned, and
                                  which banks have an activated request or want a command, a bit each
    banks [banks, BANK_FIELDS]    the same cycles for bank group and bank, the open row (CLOSED if none), and requests
    ranks [ranks, RANK_FIELDS]    banks with an open row, activated requests, the last four ACTs
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

ACT, PRE, RD, WR, PRE_ALL, REF, COMMANDS = 0, 1, 2, 3, 4, 5, 6
OF_BANK = 4
"""Commands, the first OF_BANK of them to a bank, PRE_ALL and REF to a whole rank; LPDDR5's ACT-1 counts as ACT."""
IN_BANK, IN_GROUP, IN_RANK, IN_OTHER_RANKS, IN_OTHER_STACKS, SCOPES = 0, 1, 2, 3, 4, 5
"""Scopes of a rule; what holds in the whole channel is written for the rank and for the others."""

# fields of `units` after the commands: banks with an activated request, and whose waiting reads, then writes, want
# ACT, PRE, or a column command (`dram_queue`)
ACTIVATED, WANTED, UNIT_FIELDS = 6, 7, 13
# fields of `banks` after its own four commands: of the waiting reads and writes (two fields each) the oldest that hits
# the open row and that does not; the open row, the activated request that is to use it, the oldest and the youngest
HIT, MISS, OPEN_ROW, HOLDER, FIRST, LAST, BANK_FIELDS = 4, 6, 8, 9, 10, 12, 14
NOTHING = -1
CLOSED, OPENING = -1, -2
"""OPEN_ROW of a precharged bank, and of one between LPDDR5's ACT-1 and ACT-2."""
# fields of `ranks`: FIRST_ACT .. FIRST_ACT + 3 are the cycles of the last four ACTs, OLDEST_ACT which is the oldest
OPEN_BANKS, HELD_BANKS, OLDEST_ACT, FIRST_ACT, RANK_FIELDS = 0, 1, 2, 3, 7

# scalars that describe the memory, in `fixed`
(
    CHANNELS, RANKS, STACKS, GROUPS, BANKS, UNIT_SHIFT, GROUP_SHIFT, STACK_SHIFT, BL, CL, CWL, FAW, REFI,
    SLOTS, HALF_TICKS, CLOSED_PAGE, AAD, WCK_EXTRA, FIXED,
) = range(19)  # fmt: skip
"""Ranks a channel, stacks a rank, groups a stack, banks a group; log2 of banks a unit, banks a group and stacks a rank;
timings in ticks; REFI is 0 without refresh; SLOTS is one of ONE_SLOT ..; HALF_TICKS 1 if a tick is half a cycle."""
ONE_SLOT, ROW_AND_COLUMN, SPLIT_ACTIVATE = 0, 1, 2
"""Command buses: one command a tick; a column and a row command a tick (HBM); one, ACT in two and CAS (LPDDR5)."""

LONG_AGO = -(1 << 40)
Ints = NDArray[np.int64]


@njit(forceinline=True)
def earliest(fixed: Ints, units: Ints, banks: Ints, bank: int, command: int) -> int:
    """First cycle at which ACT, PRE, RD or WR is legal for a bank."""
    return int(max(banks[bank, command], units[bank >> fixed[UNIT_SHIFT], command]))


@njit(forceinline=True)
def _hold(
    table: Ints, first: int, last: int, commands: int, latencies: Ints, command: int, scope: int, cycle: int
) -> None:
    """Hold back what follows `command`, the first so many `commands`, in rows `first` to `last` - 1."""
    for at in range(first, last):
        for following in range(commands):
            table[at, following] = max(table[at, following], cycle + latencies[command, scope, following])


@njit(forceinline=True)
def obey(fixed: Ints, latencies: Ints, units: Ints, banks: Ints, c: int, bank: int, command: int, cycle: int) -> None:
    """Apply the rules of a command that channel c issues at `cycle`.

    `latencies` [COMMANDS, SCOPES, COMMANDS] are by preceding command, scope and following one; LONG_AGO for no rule.
    """
    unit = bank >> fixed[UNIT_SHIFT]
    rank = unit >> fixed[STACK_SHIFT] << fixed[STACK_SHIFT]
    group = bank >> fixed[GROUP_SHIFT] << fixed[GROUP_SHIFT]
    size, stacks = fixed[RANKS] << fixed[STACK_SHIFT], fixed[STACKS]
    _hold(banks, bank, bank + 1, OF_BANK, latencies, command, IN_BANK, cycle)
    if command != PRE:
        _hold(banks, group, group + fixed[BANKS], OF_BANK, latencies, command, IN_GROUP, cycle)
    _hold(units, rank, rank + stacks, COMMANDS, latencies, command, IN_RANK, cycle)
    if size > 1:
        first, last = c * size, (c + 1) * size
        _hold(units, first, rank, COMMANDS, latencies, command, IN_OTHER_RANKS, cycle)
        _hold(units, rank + stacks, last, COMMANDS, latencies, command, IN_OTHER_RANKS, cycle)
        _hold(units, rank, unit, COMMANDS, latencies, command, IN_OTHER_STACKS, cycle)
        _hold(units, unit + 1, rank + stacks, COMMANDS, latencies, command, IN_OTHER_STACKS, cycle)


@njit(forceinline=True)
def count_activate(fixed: Ints, units: Ints, ranks: Ints, bank: int, cycle: int) -> None:
    """Let the rank's fifth ACT wait for nFAW after the first of the last four."""
    rank = bank >> fixed[UNIT_SHIFT] >> fixed[STACK_SHIFT]
    oldest = ranks[rank, OLDEST_ACT]
    ranks[rank, FIRST_ACT + oldest] = cycle
    oldest = (oldest + 1) & 3
    ranks[rank, OLDEST_ACT] = oldest
    first = rank << fixed[STACK_SHIFT]
    fifth = ranks[rank, FIRST_ACT + oldest] + fixed[FAW]
    for unit in range(first, first + fixed[STACKS]):
        units[unit, ACT] = max(units[unit, ACT], fifth)


@njit(forceinline=True)
def set_row(fixed: Ints, banks: Ints, ranks: Ints, bank: int, row: int) -> None:
    """Open a row, or close the bank with CLOSED; a bank that is opening counts as open."""
    was_open, is_open = banks[bank, OPEN_ROW] != CLOSED, row != CLOSED
    ranks[bank >> fixed[UNIT_SHIFT] >> fixed[STACK_SHIFT], OPEN_BANKS] += int(is_open) - int(was_open)
    banks[bank, OPEN_ROW] = row
