"""One channel of the memory controller: which command it issues at an edge.

A channel decides as Ramulator 2.1 does (CMU-SAFARI/ramulator2, commit c5b1c3a478b6, FRFCFS with row hits first):

    a. an activated request whose column command is legal now, oldest first;
    b. else, in the queue of the mode (write mode begins when writes > 0.8 * 32 or there are no reads and ends when
       writes < 0.2 * 32 and there are reads): the oldest request whose open row allows its column command now;
    c. else the oldest request of that queue whose bank is closed and may activate now (it moves to the activated list),
       or whose bank holds another row that may be precharged now and that no activated request and none in this queue
       wants. (One in the other queue may not hold a row open: its mode might never come.)

Each request counts once: as a row hit, miss (bank was closed) or conflict (another row was open) at its first command.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dsasim.kernels.dram_timing import (
    CLOSED,
    OPEN_ROW,
    PRE,
    RD,
    activate,
    column,
    earliest,
    earliest_activate,
    precharge,
)

QUEUE_SLOTS = 32
WRITE_HIGH = 0.8 * QUEUE_SLOTS
WRITE_LOW = 0.2 * QUEUE_SLOTS

# fields of a request
BANK, GROUP, ROW, TRANSFER, IS_WRITE, TOUCHED, FIELDS = 0, 1, 2, 3, 4, 5, 6
# lists of requests of a channel
READ_QUEUE, WRITE_QUEUE, ACTIVATED, LISTS = 0, 1, 2, 3
# fields of a channel, after those of `dram_timing`
LENGTH, WRITE_MODE, NEXT_TRY, CHANNEL_FIELDS = 8, 11, 12, 13
# counters
READS, WRITES, ACTIVATES, PRECHARGES, HITS, MISSES, CONFLICTS, BUSY_CORE, COUNTERS = 0, 1, 2, 3, 4, 5, 6, 7, 8
# commands, as logged and as returned
LOG_ACT, LOG_PRE, LOG_RD, LOG_WR = 0, 1, 2, 3

NEVER = 1 << 60
NOTHING = -1

Ints = NDArray[np.int64]


@njit(cache=True)
def record(log: Ints, edge: int, command: int, bank: int, row: int) -> None:
    """Append to `log` [room, 4] while it has room; log[0, 0] counts."""
    if len(log) > 0:
        log[0, 0] += 1
        at = log[0, 0]
        if at < len(log):
            log[at, 0], log[at, 1], log[at, 2], log[at, 3] = edge, command, bank, row


@njit(cache=True)
def remove(requests: Ints, channel: Ints, c: int, which: int, at: int) -> None:
    """Take request `at` out of list `which` of channel c; the younger ones move up."""
    channel[c, LENGTH + which] -= 1
    for younger in range(at, channel[c, LENGTH + which]):
        for field in range(FIELDS):
            requests[c, which, younger, field] = requests[c, which, younger + 1, field]


@njit(cache=True)
def _touch(requests: Ints, c: int, which: int, at: int, counters: Ints, kind: int) -> None:
    if requests[c, which, at, TOUCHED] == 0:
        requests[c, which, at, TOUCHED] = 1
        counters[kind] += 1


@njit(cache=True)
def _wanted(requests: Ints, channel: Ints, c: int, mode: int, bank: int, row: int) -> bool:
    for which in (mode, ACTIVATED):
        for at in range(channel[c, LENGTH + which]):
            if requests[c, which, at, BANK] == bank and requests[c, which, at, ROW] == row:
                return True
    return False


@njit(cache=True)
def enter(bank: Ints, group: Ints, channel: Ints, requests: Ints, c: int, which: int, edge: int) -> None:
    """Count in the request just written at the end of a queue, and try the channel again when it may make a difference.

    That is the next edge if it can change the mode, when its own first command is legal if its queue is the mode's,
    and else not before the channel would have tried anyway.
    """
    at = channel[c, LENGTH + which]
    channel[c, LENGTH + which] += 1
    if (which == READ_QUEUE and at == 0) or (which == WRITE_QUEUE and at + 1 > WRITE_HIGH):
        channel[c, NEXT_TRY] = edge + 1
    elif which == channel[c, WRITE_MODE]:
        b = requests[c, which, at, BANK]
        place = (c, requests[c, which, at, GROUP], b)
        if bank[b, OPEN_ROW] == requests[c, which, at, ROW]:
            ready = earliest(bank, group, channel, place, RD + which)
        elif bank[b, OPEN_ROW] == CLOSED:
            ready = earliest_activate(bank, group, channel, place)
        else:
            ready = earliest(bank, group, channel, place, PRE)
        channel[c, NEXT_TRY] = min(channel[c, NEXT_TRY], max(edge + 1, ready))


@njit(cache=True)
def _find_column(
    bank: Ints, group: Ints, channel: Ints, requests: Ints, c: int, which: int, edge: int
) -> tuple[int, int]:
    """The oldest request of a list whose open row may be accessed now, or NOTHING; and when else the first may be."""
    soonest = NEVER
    for at in range(channel[c, LENGTH + which]):
        b = requests[c, which, at, BANK]
        if bank[b, OPEN_ROW] == requests[c, which, at, ROW]:
            command = RD + requests[c, which, at, IS_WRITE]
            ready = earliest(bank, group, channel, (c, requests[c, which, at, GROUP], b), command)
            if ready <= edge:
                return at, edge
            soonest = min(soonest, ready)
    return NOTHING, soonest


@njit(cache=True)
def _open_row(
    timing: Ints, bank: Ints, group: Ints, channel: Ints, requests: Ints, counters: Ints, log: Ints, c: int, edge: int
) -> int:
    """Rule c: activate or precharge if one is legal now; return the edge of the next try."""
    soonest = NEVER
    mode = channel[c, WRITE_MODE]
    for at in range(channel[c, LENGTH + mode]):
        b = requests[c, mode, at, BANK]
        place = (c, requests[c, mode, at, GROUP], b)
        row = bank[b, OPEN_ROW]
        if row == CLOSED:
            ready = earliest_activate(bank, group, channel, place)
            if ready <= edge:
                _touch(requests, c, mode, at, counters, MISSES)
                counters[ACTIVATES] += 1
                activate(timing, bank, group, channel, place, requests[c, mode, at, ROW], edge)
                record(log, edge, LOG_ACT, b, requests[c, mode, at, ROW])
                for field in range(FIELDS):
                    requests[c, ACTIVATED, channel[c, LENGTH + ACTIVATED], field] = requests[c, mode, at, field]
                channel[c, LENGTH + ACTIVATED] += 1
                remove(requests, channel, c, mode, at)
                return edge + 1
            soonest = min(soonest, ready)
        elif row != requests[c, mode, at, ROW]:
            ready = earliest(bank, group, channel, place, PRE)
            if ready >= soonest or _wanted(requests, channel, c, mode, b, row):
                continue
            if ready <= edge:
                _touch(requests, c, mode, at, counters, CONFLICTS)
                counters[PRECHARGES] += 1
                precharge(timing, bank, place, edge)
                record(log, edge, LOG_PRE, b, row)
                return edge + 1
            soonest = ready
    return soonest


@njit(cache=True)
def issue(
    timing: Ints, bank: Ints, group: Ints, channel: Ints, requests: Ints, counters: Ints, log: Ints, c: int, edge: int
) -> tuple[int, int]:
    """Issue channel c's command of this edge, if one is legal, and set the channel's NEXT_TRY.

    Returns (list, index) of the request whose column command was issued, still in its list, or (NOTHING, NOTHING).
    """
    at, soonest = _find_column(bank, group, channel, requests, c, ACTIVATED, edge)
    which = ACTIVATED
    if at == NOTHING:
        reads, writes = channel[c, LENGTH + READ_QUEUE], channel[c, LENGTH + WRITE_QUEUE]
        if writes > WRITE_HIGH or reads == 0:
            channel[c, WRITE_MODE] = WRITE_QUEUE
        elif writes < WRITE_LOW:
            channel[c, WRITE_MODE] = READ_QUEUE
        which = channel[c, WRITE_MODE]
        at, later = _find_column(bank, group, channel, requests, c, which, edge)
        if at == NOTHING:
            opened = _open_row(timing, bank, group, channel, requests, counters, log, c, edge)
            channel[c, NEXT_TRY] = min(soonest, later, opened)
            return NOTHING, NOTHING
        _touch(requests, c, which, at, counters, HITS)
    b, write = requests[c, which, at, BANK], requests[c, which, at, IS_WRITE]
    column(timing, bank, group, channel, (c, requests[c, which, at, GROUP], b), write, edge)
    record(log, edge, LOG_RD + write, b, requests[c, which, at, ROW])
    counters[READS + write] += 1
    channel[c, NEXT_TRY] = edge + 1
    return which, at
