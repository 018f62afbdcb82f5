"""One channel of the memory controller: which commands it issues at a cycle.

As Ramulator 2.1 decides (CMU-SAFARI/ramulator2, commit c5b1c3a478b6), at each cycle and first of:

    a. an activated request whose column command is legal;
    b. if a refresh is due (every nREFI cycles one a rank, taken in turn): its command, PRE_ALL while the rank has an
       open row and then REF, once legal and no activated request is to use the rank; the queues are closed until all
       that are due are done;
    c. the first ready request of the queue of the mode (`dram_queue.first_ready`). The mode is looked at only when this
       point is reached: write mode begins when writes > 0.8 * 32 or there are no reads, and ends when writes < 0.2 * 32
       and there are reads.

HBM has a column bus and a row bus, each with a command a cycle, in that order. LPDDR5 activates in two steps and wakes
its data clock (`tick`). A read of a burst in the write queue is forwarded and a write to one is merged: both are over
one cycle later. What commands do is in `dram_commands`.
"""

from dsasim.kernels.dram_commands import (
    ADMITTED,
    AFTER_CAS,
    FORWARDED,
    FOUND,
    FOUND_AT,
    FREE,
    HALF_ACTIVATED,
    NEXT_TRY,
    REFRESH_AT,
    REFRESH_DUE,
    ROW_FOUND_AT,
    WAITING_READS,
    WAITING_WRITES,
    WCK_UNTIL,
    WRITE_MODE,
    activate_second,
    issue,
    refresh,
)
from dsasim.kernels.dram_queue import (
    ACTIVATED_AT,
    AGE,
    ANY,
    ARRIVED,
    BANK,
    BURST,
    COLUMN_ONLY,
    IS_WRITE,
    LATER,
    NEVER,
    NO_ACT,
    PRE_ONLY,
    QUEUE_SLOTS,
    ROW,
    ROW_ONLY,
    TAG,
    TOUCHED,
    append,
    first_activated,
    first_ready,
    holds_write,
    place_of,
)
from dsasim.kernels.dram_timing import (
    AAD,
    ACT,
    BL,
    CL,
    CLOSED,
    CWL,
    HALF_TICKS,
    HIT,
    HOLDER,
    MISS,
    NOTHING,
    OPEN_ROW,
    OPENING,
    PRE,
    RANKS,
    RD,
    REFI,
    ROW_AND_COLUMN,
    SLOTS,
    SPLIT_ACTIVATE,
    WCK_EXTRA,
    Ints,
    earliest,
)
from dsasim.kernels.jit import njit

WRITE_HIGH = 0.8 * QUEUE_SLOTS
WRITE_LOW = 0.2 * QUEUE_SLOTS
REFUSED, QUEUED, SHORTCUT = 0, 1, 2
"""What becomes of a request that is offered."""


@njit(forceinline=True)
def _forget(channel: Ints, c: int) -> None:
    """What was found may no longer hold."""
    if not channel[c, AFTER_CAS]:
        channel[c, FOUND_AT] = channel[c, ROW_FOUND_AT] = NOTHING


@njit(forceinline=True)
def _mode_ends(channel: Ints, c: int) -> bool:
    """Whether it is time to switch between reads and writes."""
    reads, writes = channel[c, WAITING_READS], channel[c, WAITING_WRITES]
    if channel[c, WRITE_MODE]:
        return bool(writes < WRITE_LOW and reads > 0)
    return bool(writes > WRITE_HIGH or reads == 0)


@njit(forceinline=True)
def _choose(
    fixed: Ints, units: Ints, banks: Ints, channel: Ints, requests: Ints, c: int, cycle: int, bus: int
) -> tuple[int, int]:
    """Rules a and c: the request whose command `bus` carries first: (slot, cycle), see `first_ready`."""
    half, at, when = fixed[HALF_TICKS], NOTHING, NEVER
    if bus & COLUMN_ONLY:
        at, when = first_activated(fixed, units, banks, requests, c, cycle, half)
    if when > cycle and channel[c, REFRESH_DUE] == 0:
        if _mode_ends(channel, c):
            channel[c, WRITE_MODE] ^= 1
        place, ready = first_ready(fixed, units, banks, requests, c, cycle, half, bus, channel[c, WRITE_MODE])
        if ready < when:
            at, when = place, ready
    return at, when


@njit(forceinline=True)
def _keep_found(
    fixed: Ints, units: Ints, banks: Ints, channel: Ints, requests: Ints, c: int, bank: int, bus: int
) -> None:
    """After a command to `bank` on the other of two buses, forget what was found for this one if it may not hold.

    Commands on one bus hold back those on the other only in their own bank (tests/kernels/test_dram_queue.py). So it
    holds unless it is of this bank, or the bank may now come first, or the mode is to change.
    """
    when, found, mode = channel[c, FOUND_AT + bus], channel[c, FOUND + bus], channel[c, WRITE_MODE]
    ready = NEVER
    if bus == 0:
        holder = banks[bank, HOLDER]
        if holder != NOTHING:
            ready = earliest(fixed, units, banks, bank, RD + requests[holder, IS_WRITE])
        if banks[bank, HIT + mode] != NOTHING:
            ready = min(ready, earliest(fixed, units, banks, bank, RD + mode))
    elif banks[bank, MISS + mode] != NOTHING:
        ready = earliest(fixed, units, banks, bank, ACT if banks[bank, OPEN_ROW] == CLOSED else PRE)
    if ready <= when or (found != NOTHING and requests[found, BANK] == bank):
        channel[c, FOUND_AT + bus] = NOTHING
    if _mode_ends(channel, c):
        _forget(channel, c)


@njit(forceinline=True)
def tick(
    fixed: Ints, latencies: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, requests: Ints, written: Ints,
    counters: Ints, log: Ints, c: int, cycle: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Issue channel c's commands of this cycle and set its NEXT_TRY; a column command's (tag, is write, arrived).

    The tag is NOTHING if there was none. Cycles before NEXT_TRY, REFRESH_AT included, have nothing to issue. What a
    fruitless search found for later is kept (FOUND_AT), but for LPDDR5, until a command is issued on its bus.

    LPDDR5 activates in two steps: ACT-2 is legal at once after ACT-1, and until it is issued no other ACT-1 is. It
    takes a cycle that is otherwise unused, or the last one allowed to it (nAAD after ACT-1, before all else), or that
    of a CAS whose column command would take that last one. Its data clock (WCK) runs until latency + nBL + nWCKPST
    after a column command; later ones need a CAS at the cycle before theirs.
    """
    if cycle == channel[c, REFRESH_AT]:
        channel[c, REFRESH_AT] += fixed[REFI]
        channel[c, REFRESH_DUE] += fixed[RANKS]
        _forget(channel, c)
    two_buses, split = fixed[SLOTS] == ROW_AND_COLUMN, fixed[SLOTS] == SPLIT_ACTIVATE
    second, last_chance = channel[c, HALF_ACTIVATED], NEVER
    if second != NOTHING:
        last_chance = requests[second, ACTIVATED_AT] + fixed[AAD]
    soonest = NEVER
    tag, wrote, arrived, issued = NOTHING, 0, 0, False
    act_2 = last_chance <= cycle
    for slot in range(0 if act_2 else 2 if two_buses else 1):
        bus = (ROW_ONLY if slot else COLUMN_ONLY) if two_buses else ANY if second == NOTHING else NO_ACT
        when = channel[c, FOUND_AT + slot]
        if when >= cycle:
            at = channel[c, FOUND + slot]
        else:
            at, when = _choose(fixed, units, banks, channel, requests, c, cycle, bus)
        soonest = min(soonest, when)
        if when > cycle:
            if channel[c, REFRESH_DUE] > 0:
                if bus & PRE_ONLY:
                    ready = refresh(
                        fixed, latencies, units, banks, ranks, channel, requests, counters, log, c, cycle
                    )  # fmt: skip
                    soonest = min(soonest, ready)
            elif not split:
                channel[c, FOUND_AT + slot], channel[c, FOUND + slot] = when, at
            continue
        issued = True
        channel[c, FOUND_AT + slot] = NOTHING
        bank, write = requests[at, BANK], requests[at, IS_WRITE]
        if split and banks[bank, OPEN_ROW] == requests[at, ROW]:
            if cycle >= channel[c, WCK_UNTIL] and not channel[c, AFTER_CAS]:
                act_2 = last_chance <= cycle + 1
                if not act_2:
                    channel[c, AFTER_CAS] = 1
                    channel[c, FOUND_AT], channel[c, FOUND] = cycle + 1, at
                continue
            channel[c, AFTER_CAS] = 0
            running = cycle + (fixed[CWL] if write else fixed[CL]) + fixed[BL] + fixed[WCK_EXTRA]
            channel[c, WCK_UNTIL] = max(channel[c, WCK_UNTIL], running)
        done, was_write, since = issue(
            fixed, latencies, units, banks, ranks, channel, requests, written, counters, log, c, at, cycle
        )  # fmt: skip
        if done != NOTHING:
            tag, wrote, arrived = done, was_write, since
        if two_buses:
            _keep_found(fixed, units, banks, channel, requests, c, bank, 1 - slot)
    if act_2 or (second != NOTHING and soonest > cycle):
        activate_second(fixed, units, banks, ranks, channel, requests, counters, log, c, cycle)
        soonest = cycle
    if issued and not two_buses:
        _forget(channel, c)
    channel[c, NEXT_TRY] = min(max(soonest, cycle + 1), channel[c, REFRESH_AT])
    return tag, wrote, arrived


@njit(forceinline=True)
def admit(
    fixed: Ints, units: Ints, banks: Ints, channel: Ints, requests: Ints, written: Ints, counters: Ints,
    c: int, bank: int, row: int, write: int, tag: int, burst: int, cycle: int,
) -> int:  # fmt: skip
    """Offer channel c a request at `cycle`, to be considered from the next on: REFUSED, QUEUED or SHORTCUT.

    A read of a burst that the write queue holds, and a write to one, is SHORTCUT: over at cycle + 1. A full queue
    refuses.
    """
    if holds_write(banks, requests, written, c, bank, burst):
        counters[c, FORWARDED + write] += 1
        return SHORTCUT
    if channel[c, WAITING_READS + write] == QUEUE_SLOTS:
        return REFUSED
    at = channel[c, FREE]
    channel[c, FREE] = requests[at, LATER]
    requests[at, BANK], requests[at, ROW], requests[at, ARRIVED] = bank, row, cycle
    requests[at, TAG], requests[at, BURST], requests[at, IS_WRITE] = tag, burst, write
    requests[at, AGE], requests[at, TOUCHED] = channel[c, ADMITTED], 0
    channel[c, ADMITTED] += 1
    channel[c, WAITING_READS + write] += 1
    if write:
        written[c, place_of(burst)] += 1
    is_next = append(fixed, units, banks, requests, at)
    waiting = channel[c, WAITING_READS + write]
    if (write == 0 and waiting == 1) or (write == 1 and waiting > WRITE_HIGH and channel[c, WRITE_MODE] == 0):
        channel[c, NEXT_TRY] = cycle + 1  # the mode may change
        _forget(channel, c)
    elif is_next and write == channel[c, WRITE_MODE] and banks[bank, OPEN_ROW] != OPENING:
        _look_at(fixed, units, banks, channel, c, bank, row, write, cycle)
    return QUEUED


@njit(forceinline=True)
def _look_at(
    fixed: Ints, units: Ints, banks: Ints, channel: Ints, c: int, bank: int, row: int, write: int, cycle: int
) -> None:
    """Try again as early as a newly admitted request's command could be issued."""
    is_open = banks[bank, OPEN_ROW]
    command = RD + write if is_open == row else ACT if is_open == CLOSED else PRE
    slot = int(fixed[SLOTS] == ROW_AND_COLUMN and command < RD)
    if max(channel[c, NEXT_TRY], channel[c, FOUND_AT + slot]) > cycle + 1:
        ready = max(cycle + 1, earliest(fixed, units, banks, bank, command))
        channel[c, NEXT_TRY] = min(channel[c, NEXT_TRY], ready)
        if ready < channel[c, FOUND_AT + slot] and not channel[c, AFTER_CAS]:
            channel[c, FOUND_AT + slot] = NOTHING
