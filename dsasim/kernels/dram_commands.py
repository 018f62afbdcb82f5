"""What the commands of a memory channel do to its banks and requests, once `dram_channel` has decided on one.

An ACT takes its request out of the queue, to hold the bank until its column command is issued. Each request counts
once, at its first command: as a row hit, a miss (bank closed) or a conflict (another row open). With a closed page
every column command precharges its bank behind itself, unless an activated request is still to use the row.
"""

from dsasim.kernels.dram_queue import (
    ACTIVATED_AT,
    ARRIVED,
    BANK,
    BURST,
    IS_WRITE,
    LATER,
    NEVER,
    ROW,
    TAG,
    TOUCHED,
    place_of,
    remove_hit,
    sort_again,
    unchain,
    update_wanted,
)
from dsasim.kernels.dram_timing import (
    ACT,
    ACTIVATED,
    CLOSED,
    CLOSED_PAGE,
    HALF_TICKS,
    HELD_BANKS,
    HOLDER,
    NOTHING,
    OPEN_BANKS,
    OPEN_ROW,
    OPENING,
    PRE,
    PRE_ALL,
    RANKS,
    RD,
    REF,
    SLOTS,
    SPLIT_ACTIVATE,
    STACK_SHIFT,
    STACKS,
    UNIT_SHIFT,
    Ints,
    count_activate,
    obey,
    set_row,
)
from dsasim.kernels.jit import njit

# fields of a channel: next cycle worth a try; write mode; waiting reads and writes; next refresh, how many are due and
# done; open banks, since when; LPDDR5: cycle up to which the data clock runs, whether the request found has had its
# CAS, and the request that waits for its ACT-2; for each bus the request that issues its command there at FOUND_AT, and
# none does before, if nothing else happens (NOTHING: not known); first free slot for a request; requests so far
(
    NEXT_TRY, WRITE_MODE, WAITING_READS, WAITING_WRITES, REFRESH_AT, REFRESH_DUE, REFRESHED, OPEN, OPEN_SINCE,
    WCK_UNTIL, AFTER_CAS, HALF_ACTIVATED, FOUND_AT, ROW_FOUND_AT, FOUND, ROW_FOUND, FREE, ADMITTED, CHANNEL_FIELDS,
) = range(19)  # fmt: skip
# counters of a channel; OPEN_CYCLES are cycles with a row open in any of its banks
(
    READS, WRITES, ACTIVATES, PRECHARGES, PRECHARGE_ALLS, REFRESHES, HITS, MISSES, CONFLICTS, FORWARDED, MERGED,
    OPEN_CYCLES, COUNTERS,
) = range(13)  # fmt: skip
LOG_ACT2 = 6
"""Logged beside the commands of `dram_timing`."""


@njit(forceinline=True)
def _record(log: Ints, cycle: int, command: int, bank: int, row: int) -> None:
    """Append to `log` [entries, 4] while it has space; log[0, 0] counts."""
    if len(log) > 0:
        log[0, 0] += 1
        at = log[0, 0]
        if at < len(log):
            log[at, 0], log[at, 1], log[at, 2], log[at, 3] = cycle, command, bank, row


@njit(forceinline=True)
def _change_row(
    fixed: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, requests: Ints, counters: Ints,
    c: int, bank: int, row: int, cycle: int,
) -> None:  # fmt: skip
    """Open or close a row; keep count of the cycles at which the channel has one open."""
    opens = banks[bank, OPEN_ROW] == CLOSED and row != CLOSED
    closes = banks[bank, OPEN_ROW] != CLOSED and row == CLOSED
    set_row(fixed, banks, ranks, bank, row)
    sort_again(fixed, units, banks, requests, bank)
    if opens:
        if channel[c, OPEN] == 0:
            channel[c, OPEN_SINCE] = cycle
        channel[c, OPEN] += 1
    elif closes:
        channel[c, OPEN] -= 1
        if channel[c, OPEN] == 0:
            counters[c, OPEN_CYCLES] += cycle - channel[c, OPEN_SINCE]


@njit(forceinline=True)
def _set_activated(fixed: Ints, units: Ints, bank: int, there_is: int) -> None:
    """Note whether a bank has an activated request whose column command may be searched for."""
    unit = bank >> fixed[UNIT_SHIFT]
    at = bank - (unit << fixed[UNIT_SHIFT])
    units[unit, ACTIVATED] = (units[unit, ACTIVATED] & ~(1 << at)) | (there_is << at)


@njit(forceinline=True)
def _leave_queue(channel: Ints, requests: Ints, written: Ints, c: int, at: int) -> None:
    write = requests[at, IS_WRITE]
    channel[c, WAITING_READS + write] -= 1
    if write:
        written[c, place_of(requests[at, BURST])] -= 1


@njit(forceinline=True)
def _serve(
    fixed: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, requests: Ints, written: Ints, counters: Ints,
    c: int, at: int, cycle: int,
) -> None:  # fmt: skip
    """Let a request go whose column command is issued; its row stays open, or not."""
    bank = requests[at, BANK]
    was_activated = banks[bank, HOLDER] == at
    if was_activated:
        banks[bank, HOLDER] = NOTHING
        ranks[bank >> fixed[UNIT_SHIFT] >> fixed[STACK_SHIFT], HELD_BANKS] -= 1
        _set_activated(fixed, units, bank, 0)
    else:
        remove_hit(fixed, units, banks, requests, at)
        _leave_queue(channel, requests, written, c, at)
    requests[at, LATER] = channel[c, FREE]
    channel[c, FREE] = at
    if fixed[CLOSED_PAGE] and banks[bank, HOLDER] == NOTHING:
        _change_row(fixed, units, banks, ranks, channel, requests, counters, c, bank, CLOSED, cycle)
    elif was_activated:
        update_wanted(fixed, units, banks, requests, bank)


@njit(forceinline=True)
def _activate(
    fixed: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, requests: Ints, written: Ints, counters: Ints,
    c: int, at: int, cycle: int,
) -> None:  # fmt: skip
    """Let a request leave its queue, to use the row that its ACT opens."""
    bank = requests[at, BANK]
    count_activate(fixed, units, ranks, bank, cycle)
    unchain(banks, requests, at)
    _leave_queue(channel, requests, written, c, at)
    banks[bank, HOLDER] = at
    ranks[bank >> fixed[UNIT_SHIFT] >> fixed[STACK_SHIFT], HELD_BANKS] += 1
    requests[at, ACTIVATED_AT] = cycle
    row = requests[at, ROW]
    if fixed[SLOTS] == SPLIT_ACTIVATE:
        channel[c, HALF_ACTIVATED] = at
        row = OPENING
    else:
        _set_activated(fixed, units, bank, 1)
    _change_row(fixed, units, banks, ranks, channel, requests, counters, c, bank, row, cycle)


@njit(forceinline=True)
def issue(
    fixed: Ints, latencies: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, requests: Ints, written: Ints,
    counters: Ints, log: Ints, c: int, at: int, cycle: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Issue a request's next command; (tag, is write, arrived) if that was its column command, else tag NOTHING."""
    bank, row, write = requests[at, BANK], requests[at, ROW], requests[at, IS_WRITE]
    is_open = banks[bank, OPEN_ROW]
    command = RD + write if is_open == row else ACT if is_open == CLOSED else PRE
    obey(fixed, latencies, units, banks, c, bank, command, cycle)
    _record(log, cycle, command, bank, is_open if command == PRE else row)
    first = 1 - requests[at, TOUCHED]
    requests[at, TOUCHED] = 1
    if command >= RD:
        counters[c, READS + write] += 1
        counters[c, HITS] += first
        _serve(fixed, units, banks, ranks, channel, requests, written, counters, c, at, cycle)
        return requests[at, TAG], write, requests[at, ARRIVED]
    if command == PRE:
        counters[c, PRECHARGES] += 1
        counters[c, CONFLICTS] += first
        _change_row(fixed, units, banks, ranks, channel, requests, counters, c, bank, CLOSED, cycle)
    else:
        counters[c, ACTIVATES] += 1
        counters[c, MISSES] += first
        _activate(fixed, units, banks, ranks, channel, requests, written, counters, c, at, cycle)
    return NOTHING, write, cycle


@njit(forceinline=True)
def refresh(
    fixed: Ints, latencies: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, requests: Ints,
    counters: Ints, log: Ints, c: int, cycle: int,
) -> int:  # fmt: skip
    """Rule b: issue the command that the oldest due refresh needs; `cycle` if it was, else when it may be."""
    rank = c * fixed[RANKS] + channel[c, REFRESHED] % fixed[RANKS]
    if ranks[rank, HELD_BANKS] > 0:
        return NEVER
    unit = rank * fixed[STACKS]
    command = PRE_ALL if ranks[rank, OPEN_BANKS] > 0 else REF
    ready = units[unit, command]
    if fixed[HALF_TICKS] and command == REF:
        ready = max(ready, cycle) | 1
    if ready > cycle:
        return int(ready)
    first, last = unit << fixed[UNIT_SHIFT], (unit + fixed[STACKS]) << fixed[UNIT_SHIFT]
    obey(fixed, latencies, units, banks, c, first, command, cycle)
    _record(log, cycle, command, first, NOTHING)
    if command == PRE_ALL:
        counters[c, PRECHARGE_ALLS] += 1
        for bank in range(first, last):
            _change_row(fixed, units, banks, ranks, channel, requests, counters, c, bank, CLOSED, cycle)
    else:
        counters[c, REFRESHES] += 1
        channel[c, REFRESHED] += 1
        channel[c, REFRESH_DUE] -= 1
    return cycle


@njit(forceinline=True)
def activate_second(
    fixed: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, requests: Ints, counters: Ints, log: Ints,
    c: int, cycle: int,
) -> None:  # fmt: skip
    """Issue the ACT-2 that is waited for (LPDDR5): the row is open from now on."""
    at = channel[c, HALF_ACTIVATED]
    bank, row = requests[at, BANK], requests[at, ROW]
    _record(log, cycle, LOG_ACT2, bank, row)
    channel[c, HALF_ACTIVATED] = NOTHING
    _set_activated(fixed, units, bank, 1)
    _change_row(fixed, units, banks, ranks, channel, requests, counters, c, bank, row, cycle)


@njit(forceinline=True)
def count_open_cycles(channel: Ints, counters: Ints, cycle: int) -> None:
    """Count OPEN_CYCLES up to `cycle`."""
    for c in range(len(channel)):
        if channel[c, OPEN] > 0:
            counters[c, OPEN_CYCLES] += cycle - channel[c, OPEN_SINCE]
            channel[c, OPEN_SINCE] = cycle
