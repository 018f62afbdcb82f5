"""One channel of the memory controller: which commands it issues at an edge.

As Ramulator 2.1 decides (CMU-SAFARI/ramulator2, commit c5b1c3a478b6), at each edge and first of:

    a. an activated request whose column command is legal;
    b. if a refresh is due (every nREFI edges one a rank, taken in turn): its command, PRE_ALL while the rank has an
       open row and then REF, once legal and no activated request is to use the rank; the queues are closed until all
       that are due are done;
    c. the first ready request of the queue of the mode (`dram_queue.first_ready`). The mode is looked at only when this
       point is reached: write mode begins when writes > 0.8 * 32 or there are no reads, and ends when writes < 0.2 * 32
       and there are reads.

An ACT moves its request to the activated list. HBM has a column bus and a row bus, each with a command an edge, in that
order. LPDDR5 activates in two steps and wakes its data clock (`tick`). Each request counts once, at its first
command: as a row hit, a miss (bank closed) or a conflict (another row open). A read of a burst in the write queue is
forwarded and a write to one is merged: both are over one edge later.

With a closed page every column command precharges its bank behind itself, unless an activated request is still to use
the row.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dsasim.kernels.dram_queue import (
    ACT_2_BY,
    ACTIVATED,
    ANY,
    ARRIVED,
    BANK,
    COLUMN_ONLY,
    HEAD,
    IS_WRITE,
    LENGTH,
    LISTS,
    NEVER,
    NO_ACT,
    NOTHING,
    OPENING_LIST,
    PRE_ONLY,
    QUEUE_SLOTS,
    READ_QUEUE,
    ROW,
    ROW_ONLY,
    TAG,
    TAIL,
    TOUCHED,
    WRITE_QUEUE,
    append,
    first_activated,
    first_ready,
    holds_burst,
    move,
    next_command,
    remove,
)
from dsasim.kernels.dram_timing import (
    AAD,
    ACT,
    BL,
    CL,
    CLOSED,
    CLOSED_PAGE,
    CWL,
    HALF_TICKS,
    HELD,
    HELD_BANKS,
    OPEN_BANKS,
    OPEN_ROW,
    OPENING,
    PRE,
    PRE_ALL,
    RANKS,
    RD,
    REF,
    REFI,
    ROW_AND_COLUMN,
    SLOTS,
    SPLIT_ACTIVATE,
    STACK_SHIFT,
    STACKS,
    UNIT_SHIFT,
    WCK_EXTRA,
    count_activate,
    earliest,
    obey,
    set_row,
)

WRITE_HIGH = 0.8 * QUEUE_SLOTS
WRITE_LOW = 0.2 * QUEUE_SLOTS

# fields of a channel: next edge worth a try; write mode; next refresh, how many are due and done; open banks, since
# when; searches so far; LPDDR5: edge up to which the data clock runs, and whether the request found has had its CAS;
# for each bus the request (list, position) that issues its command there at FOUND_AT, and none does before, if nothing
# else happens (NOTHING: not known)
(
    NEXT_TRY, WRITE_MODE, REFRESH_AT, REFRESH_DUE, REFRESHED, OPEN, OPEN_SINCE, SCAN, WCK_UNTIL, AFTER_CAS,
    FOUND_AT, ROW_FOUND_AT, FOUND_LIST, ROW_FOUND_LIST, FOUND, ROW_FOUND, CHANNEL_FIELDS,
) = range(17)  # fmt: skip
# counters of a channel; OPEN_EDGES are edges with a row open in any of its banks
(
    READS, WRITES, ACTIVATES, PRECHARGES, PRECHARGE_ALLS, REFRESHES, HITS, MISSES, CONFLICTS, FORWARDED, MERGED,
    OPEN_EDGES, COUNTERS,
) = range(13)  # fmt: skip
LOG_ACT2 = 6
"""Logged beside the commands of `dram_timing`."""
REFUSED, QUEUED, SHORTCUT = 0, 1, 2
"""What becomes of a request that is offered."""

Ints = NDArray[np.int64]


@njit(cache=True, forceinline=True)
def _record(log: Ints, edge: int, command: int, bank: int, row: int) -> None:
    """Append to `log` [room, 4] while it has room; log[0, 0] counts."""
    if len(log) > 0:
        log[0, 0] += 1
        at = log[0, 0]
        if at < len(log):
            log[at, 0], log[at, 1], log[at, 2], log[at, 3] = edge, command, bank, row


@njit(cache=True, forceinline=True)
def _change_row(
    fixed: Ints, banks: Ints, ranks: Ints, channel: Ints, counters: Ints, c: int, bank: int, row: int, edge: int
) -> None:
    """Open or close a row; keep count of the edges at which the channel has one open."""
    opens = banks[bank, OPEN_ROW] == CLOSED and row != CLOSED
    closes = banks[bank, OPEN_ROW] != CLOSED and row == CLOSED
    set_row(fixed, banks, ranks, bank, row)
    if opens:
        if channel[c, OPEN] == 0:
            channel[c, OPEN_SINCE] = edge
        channel[c, OPEN] += 1
    elif closes:
        channel[c, OPEN] -= 1
        if channel[c, OPEN] == 0:
            counters[c, OPEN_EDGES] += edge - channel[c, OPEN_SINCE]


@njit(cache=True, forceinline=True)
def _forget(channel: Ints, c: int) -> None:
    """What was found may no longer hold."""
    if not channel[c, AFTER_CAS]:
        channel[c, FOUND_AT] = channel[c, ROW_FOUND_AT] = NOTHING


@njit(cache=True, forceinline=True)
def _set_mode(channel: Ints, lists: Ints, c: int) -> int:
    """Switch between reads and writes if it is time; the mode, which is the number of its list."""
    reads, writes = lists[c * LISTS + READ_QUEUE, LENGTH], lists[c * LISTS + WRITE_QUEUE, LENGTH]
    if channel[c, WRITE_MODE]:
        if writes < WRITE_LOW and reads > 0:
            channel[c, WRITE_MODE] = 0
    elif writes > WRITE_HIGH or reads == 0:
        channel[c, WRITE_MODE] = 1
    return int(channel[c, WRITE_MODE])


@njit(cache=True, forceinline=True)
def _hold_bank(fixed: Ints, banks: Ints, ranks: Ints, bank: int, change: int) -> None:
    """Count an activated request in or out of its bank."""
    banks[bank, HELD] += change
    ranks[bank >> fixed[UNIT_SHIFT] >> fixed[STACK_SHIFT], HELD_BANKS] += change


@njit(cache=True, forceinline=True)
def _issue(
    fixed: Ints, rules: Ints, rules_of: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, queue: Ints,
    lists: Ints, counters: Ints, log: Ints, c: int, of: int, at: int, edge: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Issue a request's next command; (tag, is write, arrived) if that was its column command, else tag NOTHING."""
    bank, row, write = queue[of, BANK, at], queue[of, ROW, at], queue[of, IS_WRITE, at]
    command = next_command(banks, bank, row, write)
    obey(fixed, rules, rules_of, units, banks, c, bank, command, edge)
    first = 1 - queue[of, TOUCHED, at]
    tag, arrived, left_open = NOTHING, queue[of, ARRIVED, at], row
    if command >= RD:
        _record(log, edge, command, bank, row)
        counters[c, READS + write] += 1
        counters[c, HITS] += first
        tag = queue[of, TAG, at]
        if of == c * LISTS + ACTIVATED:
            _hold_bank(fixed, banks, ranks, bank, -1)
        if fixed[CLOSED_PAGE] and banks[bank, HELD] == 0:
            left_open = CLOSED
        remove(queue, lists, of, at)
    elif command == PRE:
        _record(log, edge, PRE, bank, banks[bank, OPEN_ROW])
        counters[c, PRECHARGES] += 1
        counters[c, CONFLICTS] += first
        queue[of, TOUCHED, at] = 1
        left_open = CLOSED
    else:
        _record(log, edge, ACT, bank, row)
        counters[c, ACTIVATES] += 1
        counters[c, MISSES] += first
        count_activate(fixed, units, ranks, bank, edge)
        _hold_bank(fixed, banks, ranks, bank, 1)
        split = fixed[SLOTS] == SPLIT_ACTIVATE
        left_open = OPENING if split else row
        queue[of, TOUCHED, at] = 1
        to = c * LISTS + (OPENING_LIST if split else ACTIVATED)
        move(queue, lists, of, at, to)
        if split:
            queue[to, ACT_2_BY, lists[to, TAIL] - 1] = edge + fixed[AAD]
    _change_row(fixed, banks, ranks, channel, counters, c, bank, left_open, edge)
    return tag, write, arrived


@njit(cache=True, forceinline=True)
def _refresh(
    fixed: Ints, rules: Ints, rules_of: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints,
    counters: Ints, log: Ints, c: int, edge: int,
) -> int:  # fmt: skip
    """Rule b: issue the command that the oldest due refresh needs; `edge` if it was, else when it may be."""
    rank = c * fixed[RANKS] + channel[c, REFRESHED] % fixed[RANKS]
    if ranks[rank, HELD_BANKS] > 0:
        return NEVER
    unit = rank * fixed[STACKS]
    command = PRE_ALL if ranks[rank, OPEN_BANKS] > 0 else REF
    ready = units[unit, command]
    if fixed[HALF_TICKS] and command == REF:
        ready = max(ready, edge) | 1
    if ready > edge:
        return int(ready)
    first, last = unit << fixed[UNIT_SHIFT], (unit + fixed[STACKS]) << fixed[UNIT_SHIFT]
    obey(fixed, rules, rules_of, units, banks, c, first, command, edge)
    _record(log, edge, command, first, NOTHING)
    if command == PRE_ALL:
        counters[c, PRECHARGE_ALLS] += 1
        for bank in range(first, last):
            _change_row(fixed, banks, ranks, channel, counters, c, bank, CLOSED, edge)
    else:
        counters[c, REFRESHES] += 1
        channel[c, REFRESHED] += 1
        channel[c, REFRESH_DUE] -= 1
    return edge


@njit(cache=True, forceinline=True)
def _choose(
    fixed: Ints, units: Ints, banks: Ints, channel: Ints, queue: Ints, lists: Ints, c: int, edge: int, bus: int
) -> tuple[int, int, int]:
    """Rules a and c: the request whose command `bus` carries first: (list, position, edge), see `first_ready`."""
    half, of, at, when = fixed[HALF_TICKS], c * LISTS + ACTIVATED, NOTHING, NEVER
    if bus & COLUMN_ONLY:
        at, when = first_activated(fixed, units, banks, queue, lists, of, edge, half)
    if when > edge and channel[c, REFRESH_DUE] == 0:
        mode = _set_mode(channel, lists, c)
        line = c * LISTS + mode
        channel[c, SCAN] += 1
        place, ready = first_ready(fixed, units, banks, queue, lists, line, edge, bus, mode, channel[c, SCAN])
        if ready < when:
            of, at, when = line, place, ready
    return of, at, when


@njit(cache=True, forceinline=True)
def tick(
    fixed: Ints, rules: Ints, rules_of: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, queue: Ints,
    lists: Ints, counters: Ints, log: Ints, c: int, edge: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Issue channel c's commands of this edge and set its NEXT_TRY; a column command's (tag, is write, arrived).

    The tag is NOTHING if there was none. Edges before NEXT_TRY, REFRESH_AT included, have nothing to issue. What a
    fruitless search found for later is kept (FOUND_AT), but for LPDDR5, until a command is issued; a column command of
    an activated request makes no row command legal at its own edge, so that the row bus need not be searched then.

    LPDDR5 activates in two steps: ACT-2 is legal at once after ACT-1, and until it is issued no other ACT-1 is. It
    takes an edge that is otherwise unused, or the last one allowed to it (nAAD after ACT-1, before all else), or that
    of a CAS whose column command would take that last one. Its data clock (WCK) runs until latency + nBL + nWCKPST
    after a column command; later ones need a CAS at the edge before theirs.
    """
    if edge == channel[c, REFRESH_AT]:
        channel[c, REFRESH_AT] += fixed[REFI]
        channel[c, REFRESH_DUE] += fixed[RANKS]
        _forget(channel, c)
    two_buses, split = fixed[SLOTS] == ROW_AND_COLUMN, fixed[SLOTS] == SPLIT_ACTIVATE
    second, last_chance = _next_second_act(queue, lists, c * LISTS + OPENING_LIST)
    soonest = NEVER
    tag, wrote, arrived, issued = NOTHING, 0, 0, False
    act_2 = last_chance <= edge
    for slot in range(0 if act_2 else 2 if two_buses else 1):
        bus = (ROW_ONLY if slot else COLUMN_ONLY) if two_buses else ANY if second == NOTHING else NO_ACT
        when = channel[c, FOUND_AT + slot]
        if when >= edge:
            of, at = channel[c, FOUND_LIST + slot], channel[c, FOUND + slot]
        else:
            of, at, when = _choose(fixed, units, banks, channel, queue, lists, c, edge, bus)
        soonest = min(soonest, when)
        if when > edge:
            if channel[c, REFRESH_DUE] > 0:
                if bus & PRE_ONLY:
                    ready = _refresh(fixed, rules, rules_of, units, banks, ranks, channel, counters, log, c, edge)
                    soonest = min(soonest, ready)
            elif not split:
                channel[c, FOUND_AT + slot], channel[c, FOUND_LIST + slot], channel[c, FOUND + slot] = when, of, at
            continue
        issued = True
        channel[c, FOUND_AT + slot] = NOTHING
        if of != c * LISTS + ACTIVATED:
            channel[c, ROW_FOUND_AT] = NOTHING  # a queue is shorter: the mode may change
        write = queue[of, IS_WRITE, at]
        if split and banks[queue[of, BANK, at], OPEN_ROW] == queue[of, ROW, at]:
            if edge >= channel[c, WCK_UNTIL] and not channel[c, AFTER_CAS]:
                act_2 = last_chance <= edge + 1
                if not act_2:
                    channel[c, AFTER_CAS] = 1
                    channel[c, FOUND_AT], channel[c, FOUND_LIST], channel[c, FOUND] = edge + 1, of, at
                continue
            channel[c, AFTER_CAS] = 0
            running = edge + (fixed[CWL] if write else fixed[CL]) + fixed[BL] + fixed[WCK_EXTRA]
            channel[c, WCK_UNTIL] = max(channel[c, WCK_UNTIL], running)
        done, was_write, since = _issue(
            fixed, rules, rules_of, units, banks, ranks, channel, queue, lists, counters, log, c, of, at, edge
        )  # fmt: skip
        if done != NOTHING:
            tag, wrote, arrived = done, was_write, since
    if act_2 or (second != NOTHING and soonest > edge):
        _second_act(fixed, banks, ranks, channel, queue, lists, counters, log, c, second, edge)
        soonest = edge
    if issued:
        _forget(channel, c)
    channel[c, NEXT_TRY] = min(max(soonest, edge + 1), channel[c, REFRESH_AT])
    return tag, wrote, arrived


@njit(cache=True, forceinline=True)
def _next_second_act(queue: Ints, lists: Ints, of: int) -> tuple[int, int]:
    """The request that waits for ACT-2, and its last edge for it."""
    if lists[of, LENGTH] == 0:
        return NOTHING, NEVER
    return lists[of, HEAD], queue[of, ACT_2_BY, lists[of, HEAD]]


@njit(cache=True, forceinline=True)
def _second_act(
    fixed: Ints, banks: Ints, ranks: Ints, channel: Ints, queue: Ints, lists: Ints, counters: Ints, log: Ints,
    c: int, at: int, edge: int,
) -> None:  # fmt: skip
    opening = c * LISTS + OPENING_LIST
    bank, row = queue[opening, BANK, at], queue[opening, ROW, at]
    _record(log, edge, LOG_ACT2, bank, row)
    _change_row(fixed, banks, ranks, channel, counters, c, bank, row, edge)
    move(queue, lists, opening, at, c * LISTS + ACTIVATED)


@njit(cache=True, forceinline=True)
def admit(
    fixed: Ints, units: Ints, banks: Ints, channel: Ints, queue: Ints, lists: Ints, counters: Ints,
    c: int, bank: int, row: int, write: int, tag: int, burst: int, edge: int,
) -> int:  # fmt: skip
    """Offer channel c a request at `edge`, to be considered from the next on: REFUSED, QUEUED or SHORTCUT.

    A read of a burst that the write queue holds, and a write to one, is SHORTCUT: over at edge + 1. A full queue
    refuses.
    """
    writes = c * LISTS + WRITE_QUEUE
    if lists[writes, LENGTH] > 0 and holds_burst(queue, lists, writes, burst):
        counters[c, FORWARDED + write] += 1
        return SHORTCUT
    of = c * LISTS + write
    if lists[of, LENGTH] == QUEUE_SLOTS:
        return REFUSED
    append(queue, lists, of, bank, row, edge, tag, burst, write)
    length = lists[of, LENGTH]
    if (write == 0 and length == 1) or (write == 1 and length > WRITE_HIGH):
        channel[c, NEXT_TRY] = edge + 1  # the mode may change
        _forget(channel, c)
    elif write == channel[c, WRITE_MODE]:
        command = next_command(banks, bank, row, write)
        slot = int(fixed[SLOTS] == ROW_AND_COLUMN and command < RD)
        if command != NOTHING and max(channel[c, NEXT_TRY], channel[c, FOUND_AT + slot]) > edge + 1:
            ready = max(edge + 1, earliest(fixed, units, banks, bank, command))
            channel[c, NEXT_TRY] = min(channel[c, NEXT_TRY], ready)
            if ready < channel[c, FOUND_AT + slot] and not channel[c, AFTER_CAS]:
                channel[c, FOUND_AT + slot] = NOTHING
    return QUEUED


@njit(cache=True, forceinline=True)
def close_books(channel: Ints, counters: Ints, edge: int) -> None:
    """Count OPEN_EDGES up to `edge`."""
    for c in range(len(channel)):
        if channel[c, OPEN] > 0:
            counters[c, OPEN_EDGES] += edge - channel[c, OPEN_SINCE]
            channel[c, OPEN_SINCE] = edge
