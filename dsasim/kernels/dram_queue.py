"""The request lists of a memory channel, and which of a list's requests could issue its next command first.

A request's next command is a column command if its row is open, ACT if its bank is closed, PRE if another row is open.
As in Ramulator 2.1 (CMU-SAFARI/ramulator2, commit c5b1c3a478b6, FRFCFS-RowHit) the oldest request whose command is
legal comes first, whatever the command, but a PRE waits while an activated request is to use the bank's row, or a
request of the same list that is no younger hits it.

Lists are kept oldest first in a window of positions from HEAD to TAIL; a removed request leaves a hole (BANK = HOLE).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dsasim.kernels.dram_timing import (
    ACT,
    CLOSED,
    HALF_TICKS,
    HELD,
    HIT_SEEN,
    OPEN_ROW,
    OPENING,
    PRE,
    RD,
    UNIT_SHIFT,
    WR,
)

QUEUE_SLOTS = 32
WINDOW, DENSE = 256, 64
"""Positions of a list, and of how many it may be spread over: its holes are closed, on removal only, when it reaches
further, so a position lasts until the list's next removal. A list holds at most 128 requests: those activated in a
channel of 128 banks; with up to 64 holes they fill 192 positions."""
HOLE = -1

# lists of a channel; list `which` of channel c is number c * LISTS + which
READ_QUEUE, WRITE_QUEUE, ACTIVATED, OPENING_LIST, LISTS = 0, 1, 2, 3, 4
# fields of a request; TAG is its owner's name for it, BURST its address / access bytes, TOUCHED 1 once counted,
# ACT_2_BY the last edge for its ACT-2, set in OPENING_LIST
BANK, ROW, ARRIVED, TAG, BURST, IS_WRITE, TOUCHED, ACT_2_BY, FIELDS = 0, 1, 2, 3, 4, 5, 6, 7, 8
# fields of a list
HEAD, TAIL, LENGTH, LIST_FIELDS = 0, 1, 2, 3

COLUMN_ONLY, PRE_ONLY, ACT_ONLY = 1 << RD | 1 << WR, 1 << PRE, 1 << ACT
"""Which commands may be issued, a bit each."""
ROW_ONLY, NO_ACT, ANY = ACT_ONLY | PRE_ONLY, COLUMN_ONLY | PRE_ONLY, COLUMN_ONLY | PRE_ONLY | ACT_ONLY
NEVER = 1 << 60
NOTHING = -1

Ints = NDArray[np.int64]


@njit(cache=True, forceinline=True)
def append(queue: Ints, lists: Ints, to: int, bank: int, row: int, edge: int, tag: int, burst: int, write: int) -> None:
    """Put a request at the young end of a list; its TOUCHED is 0."""
    at = lists[to, TAIL]
    queue[to, BANK, at] = bank
    queue[to, ROW, at] = row
    queue[to, ARRIVED, at] = edge
    queue[to, TAG, at] = tag
    queue[to, BURST, at] = burst
    queue[to, IS_WRITE, at] = write
    queue[to, TOUCHED, at] = 0
    lists[to, TAIL] += 1
    lists[to, LENGTH] += 1


@njit(cache=True, forceinline=True)
def _close_holes(queue: Ints, lists: Ints, of: int) -> None:
    kept = 0
    for at in range(lists[of, HEAD], lists[of, TAIL]):
        if queue[of, BANK, at] != HOLE:
            for field in range(FIELDS):
                queue[of, field, kept] = queue[of, field, at]
            kept += 1
    lists[of, HEAD], lists[of, TAIL] = 0, kept


@njit(cache=True, forceinline=True)
def remove(queue: Ints, lists: Ints, of: int, at: int) -> None:
    """Take the request at a position out of its list."""
    queue[of, BANK, at] = HOLE
    lists[of, LENGTH] -= 1
    head = lists[of, HEAD]
    while head < lists[of, TAIL] and queue[of, BANK, head] == HOLE:
        head += 1
    lists[of, HEAD] = head
    if head == lists[of, TAIL]:
        lists[of, HEAD] = lists[of, TAIL] = 0
    elif lists[of, TAIL] > DENSE:
        _close_holes(queue, lists, of)


@njit(cache=True, forceinline=True)
def move(queue: Ints, lists: Ints, of: int, at: int, to: int) -> None:
    """Move a request to the end of another list, as it is."""
    touched = queue[of, TOUCHED, at]
    append(
        queue, lists, to, queue[of, BANK, at], queue[of, ROW, at], queue[of, ARRIVED, at], queue[of, TAG, at],
        queue[of, BURST, at], queue[of, IS_WRITE, at],
    )  # fmt: skip
    queue[to, TOUCHED, lists[to, TAIL] - 1] = touched
    remove(queue, lists, of, at)


@njit(cache=True, forceinline=True)
def holds_burst(queue: Ints, lists: Ints, of: int, burst: int) -> bool:
    """Whether a list holds a request for the burst."""
    for at in range(lists[of, HEAD], lists[of, TAIL]):
        if queue[of, BURST, at] == burst and queue[of, BANK, at] != HOLE:
            return True
    return False


@njit(cache=True, forceinline=True)
def next_command(banks: Ints, bank: int, row: int, write: int) -> int:
    """The command a request needs next; NOTHING while its bank is opening."""
    is_open = banks[bank, OPEN_ROW]
    if is_open == row:
        return RD + write
    if is_open == CLOSED:
        return ACT
    return NOTHING if is_open == OPENING else PRE


@njit(cache=True, forceinline=True)
def _hit_of_same_age(queue: Ints, lists: Ints, banks: Ints, of: int, at: int) -> bool:
    """Whether a request that arrived with this one, but stands after it, hits the row open in its bank."""
    bank = queue[of, BANK, at]
    for other in range(at + 1, lists[of, TAIL]):
        if queue[of, BANK, other] == HOLE:
            continue
        if queue[of, ARRIVED, other] != queue[of, ARRIVED, at]:
            return False
        if queue[of, BANK, other] == bank and queue[of, ROW, other] == banks[bank, OPEN_ROW]:
            return True
    return False


@njit(cache=True, forceinline=True)
def first_ready(
    fixed: Ints, units: Ints, banks: Ints, queue: Ints, lists: Ints, of: int, edge: int, bus: int, write: int, scan: int
) -> tuple[int, int]:
    """Which request of a queue, of those whose next command `bus` admits, issues it first: (position, edge).

    That is the oldest of those that may at `edge`, else of those that may the soonest after it; NOTHING at NEVER if
    none may before another command is issued. All its requests are writes, or none (`write`). In half-cycle ticks,
    commands other than PRE are only issued at odd ones. `scan` is a number that no scan of these banks has had before.
    """
    half = fixed[HALF_TICKS]
    soonest, found = NEVER, NOTHING
    last_bank, last_row = HOLE, 0
    shift, column, line = fixed[UNIT_SHIFT], RD + write, np.uintp(of)
    for at in range(lists[of, HEAD], lists[of, TAIL]):
        # unsigned indices spare the check for negative ones
        bank, row = queue[line, BANK, np.uintp(at)], queue[line, ROW, np.uintp(at)]
        if bank == HOLE or (bank == last_bank and row == last_row):
            continue  # an older request for the same row needs the same command
        last_bank, last_row = bank, row
        is_open = banks[np.uintp(bank), OPEN_ROW]
        command = column if is_open == row else ACT if is_open == CLOSED else PRE
        if command == column:
            banks[np.uintp(bank), HIT_SEEN] = scan
        ready = max(banks[np.uintp(bank), np.uintp(command)], units[np.uintp(bank >> shift), np.uintp(command)])
        if half and command != PRE:
            ready = max(ready, edge) | 1
        if ready >= soonest or bus & (1 << command) == 0 or is_open == OPENING:
            continue
        if command == PRE:
            held = banks[np.uintp(bank), HELD] > 0 or banks[np.uintp(bank), HIT_SEEN] == scan
            if held or _hit_of_same_age(queue, lists, banks, of, at):
                continue
        soonest, found = max(ready, edge), at
        if ready <= edge:
            break
    return found, soonest


@njit(cache=True, forceinline=True)
def first_activated(
    fixed: Ints, units: Ints, banks: Ints, queue: Ints, lists: Ints, of: int, edge: int, half: int
) -> tuple[int, int]:
    """Which activated request issues its column command first, as `first_ready` says it.

    The list is in the order of activation, so that the oldest may stand anywhere.
    """
    soonest, found = NEVER, NOTHING
    for at in range(lists[of, HEAD], lists[of, TAIL]):
        bank = queue[of, BANK, at]
        if bank == HOLE:
            continue
        command = RD + queue[of, IS_WRITE, at]
        ready = max(banks[bank, command], units[bank >> fixed[UNIT_SHIFT], command], edge)
        if half:
            ready |= 1
        older = ready == soonest and queue[of, ARRIVED, at] < queue[of, ARRIVED, found]
        if ready < soonest or older:
            soonest, found = ready, at
    return found, soonest
