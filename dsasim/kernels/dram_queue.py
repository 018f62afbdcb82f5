"""The requests that wait in a memory channel, and which of them could issue its next command first.

A request's next command is a column command if its row is open, ACT if its bank is closed, PRE if another row is open.
As in Ramulator 2.1 (CMU-SAFARI/ramulator2, commit c5b1c3a478b6, FRFCFS-RowHit) the oldest request whose command is
legal comes first, whatever the command, but a PRE waits while an activated request is to use the bank's row, or a
request of the same queue that is no younger hits it.

So of a bank's reads, as of its writes, only two ever matter: the oldest HIT, which wants the open row, and the oldest
MISS, which does not. They are kept at hand, and each unit has a bit a bank for those that want an ACT, a PRE or a
column command; a search looks at set bits only. A bank's requests form a chain from the oldest to the youngest.

Worked example: reads of rows 7, 5, 7 wait in that order at a bank whose row 7 is open. HIT is the first and MISS the
second; the bank wants RD and no PRE, for the hit is older. Once the first is served, HIT is the third and MISS is the
older: the bank wants RD and PRE.
"""

import numpy as np

from dsasim.kernels.bits import lowest_bit
from dsasim.kernels.dram_timing import (
    ACT,
    ACTIVATED,
    CLOSED,
    FIRST,
    HIT,
    HOLDER,
    LAST,
    MISS,
    NOTHING,
    OPEN_ROW,
    PRE,
    RANKS,
    RD,
    STACK_SHIFT,
    UNIT_SHIFT,
    WANTED,
    WR,
    Ints,
)
from dsasim.kernels.jit import njit

QUEUE_SLOTS = 32
"""Reads, and writes, that wait in a channel; a request that has been activated has left."""

# fields of a request; TAG is its owner's name for it, BURST its address / access bytes, AGE its number in the channel,
# TOUCHED 1 once counted, ACTIVATED_AT the cycle of its ACT, EARLIER and LATER its neighbours in the bank's chain
(
    BANK, ROW, ARRIVED, TAG, BURST, IS_WRITE, AGE, TOUCHED, ACTIVATED_AT, EARLIER, LATER, FIELDS,
) = range(12)  # fmt: skip

COLUMN_ONLY, PRE_ONLY, ACT_ONLY = 1 << RD | 1 << WR, 1 << PRE, 1 << ACT
"""Which commands may be issued, a bit each."""
ROW_ONLY, NO_ACT, ANY = ACT_ONLY | PRE_ONLY, COLUMN_ONLY | PRE_ONLY, COLUMN_ONLY | PRE_ONLY | ACT_ONLY
NEVER = 1 << 60
WRITTEN, GOLDEN = 256, -0x61C8864680B583EB  # 2^64 over the golden ratio, as int64
"""Places in which the waiting writes of a channel are counted by their burst."""
AGE_BITS = 40
"""Bits for AGE beneath a number of cycles in one int64: up to a million million requests a channel."""


@njit(forceinline=True)
def _update_wanted(fixed: Ints, units: Ints, banks: Ints, requests: Ints, bank: int, write: int) -> None:
    """Set the bits of the commands that the bank's reads, or writes, want: of its MISS, then of its HIT."""
    row, hit, miss = banks[bank, OPEN_ROW], banks[bank, HIT + write], banks[bank, MISS + write]
    unit = bank >> fixed[UNIT_SHIFT]
    at = bank - (unit << fixed[UNIT_SHIFT])
    wanted = WANTED + (RD + 1) * write
    is_closed = row == CLOSED
    pre = miss != NOTHING and row >= 0 and banks[bank, HOLDER] == NOTHING
    if pre and hit != NOTHING:
        pre = requests[hit, ARRIVED] > requests[miss, ARRIVED]
    others = ~(1 << at)
    units[unit, wanted + ACT] = (units[unit, wanted + ACT] & others) | (int(is_closed and miss != NOTHING) << at)
    units[unit, wanted + PRE] = (units[unit, wanted + PRE] & others) | (int(pre) << at)
    units[unit, wanted + RD] = (units[unit, wanted + RD] & others) | (int(hit != NOTHING) << at)


@njit(forceinline=True)
def update_wanted(fixed: Ints, units: Ints, banks: Ints, requests: Ints, bank: int) -> None:
    """Update what a bank wants, after its HOLDER changed."""
    _update_wanted(fixed, units, banks, requests, bank, 0)
    _update_wanted(fixed, units, banks, requests, bank, 1)


@njit(forceinline=True)
def sort_again(fixed: Ints, units: Ints, banks: Ints, requests: Ints, bank: int) -> None:
    """Find the bank's hits and misses anew, after its OPEN_ROW changed."""
    row = banks[bank, OPEN_ROW]
    for write in range(2):
        at = banks[bank, FIRST + write]
        hit = miss = NOTHING
        if row < 0:
            miss = at
        else:
            while at != NOTHING and min(hit, miss) == NOTHING:
                if requests[at, ROW] == row:
                    hit = at if hit == NOTHING else hit
                else:
                    miss = at if miss == NOTHING else miss
                at = requests[at, LATER]
        banks[bank, HIT + write], banks[bank, MISS + write] = hit, miss
        _update_wanted(fixed, units, banks, requests, bank, write)


@njit(forceinline=True)
def append(fixed: Ints, units: Ints, banks: Ints, requests: Ints, at: int) -> bool:
    """Let the request in slot `at` wait at its bank; whether it is the one to be served next of its kind there."""
    bank, write, row = requests[at, BANK], requests[at, IS_WRITE], requests[at, ROW]
    last = banks[bank, LAST + write]
    requests[at, EARLIER], requests[at, LATER] = last, NOTHING
    banks[bank, LAST + write] = at
    if last == NOTHING:
        banks[bank, FIRST + write] = at
    else:
        requests[last, LATER] = at
    kind = (HIT if row == banks[bank, OPEN_ROW] else MISS) + write
    if banks[bank, kind] != NOTHING:
        return False
    banks[bank, kind] = at
    _update_wanted(fixed, units, banks, requests, bank, write)
    return True


@njit(forceinline=True)
def unchain(banks: Ints, requests: Ints, at: int) -> None:
    """Take a request out of its bank's chain."""
    bank, write, earlier, later = requests[at, BANK], requests[at, IS_WRITE], requests[at, EARLIER], requests[at, LATER]
    if earlier == NOTHING:
        banks[bank, FIRST + write] = later
    else:
        requests[earlier, LATER] = later
    if later == NOTHING:
        banks[bank, LAST + write] = earlier
    else:
        requests[later, EARLIER] = earlier


@njit(forceinline=True)
def remove_hit(fixed: Ints, units: Ints, banks: Ints, requests: Ints, at: int) -> None:
    """Take out the HIT that has been served, and find the next."""
    bank, write, row = requests[at, BANK], requests[at, IS_WRITE], requests[at, ROW]
    following = requests[at, LATER]
    while following != NOTHING and requests[following, ROW] != row:
        following = requests[following, LATER]
    unchain(banks, requests, at)
    banks[bank, HIT + write] = following
    _update_wanted(fixed, units, banks, requests, bank, write)


@njit(forceinline=True)
def place_of(burst: int) -> int:
    """Where WRITTEN counts a burst: a hash, for strides share low bits (Fibonacci hashing, Knuth, TAOCP 3, 6.4)."""
    return (burst * GOLDEN) >> 56 & (WRITTEN - 1)


@njit(forceinline=True)
def holds_write(banks: Ints, requests: Ints, written: Ints, c: int, bank: int, burst: int) -> bool:
    """Whether a write of the burst waits at its bank; most often none does in its place of `written`."""
    if written[c, place_of(burst)] == 0:
        return False
    at = banks[bank, FIRST + 1]
    while at != NOTHING and requests[at, BURST] != burst:
        at = requests[at, LATER]
    return bool(at != NOTHING)


@njit(forceinline=True)
def first_ready(
    fixed: Ints, units: Ints, banks: Ints, requests: Ints, c: int, cycle: int, half: int, bus: int, write: int
) -> tuple[int, int]:
    """Which of channel c's waiting reads, or writes, issues its next command first, of those that `bus` admits.

    Returns (slot, cycle): the oldest of those that may at `cycle`, else of those that may the soonest after it; NOTHING
    at NEVER if none may before another command is issued. In half-cycle ticks (`half`), commands other than PRE are
    only issued at odd ones.
    """
    first, found = NEVER, NOTHING
    num_units = fixed[RANKS] << fixed[STACK_SHIFT]
    wanted = WANTED + (RD + 1) * write
    for unit in range(c * num_units, (c + 1) * num_units):
        for kind in range(RD + 1):
            bits = units[unit, wanted + kind]
            command = RD + write if kind == RD else kind
            if bits == 0 or bus & (1 << command) == 0:
                continue
            start = max(units[unit, command], cycle)
            odd = half if command != PRE else 0
            who = (HIT if kind == RD else MISS) + write
            while bits:
                # unsigned indices spare the check for negative ones
                bank = np.uintp((unit << fixed[UNIT_SHIFT]) + lowest_bit(bits))
                bits &= bits - 1
                ready = max(start, banks[bank, np.uintp(command)]) | odd
                at = banks[bank, np.uintp(who)]
                # one number to compare, and selects in place of branches, which nobody could predict
                order = ((ready - cycle) << AGE_BITS) + requests[np.uintp(at), AGE]
                found = at if order < first else found
                first = min(first, order)
    return found, cycle + (first >> AGE_BITS) if found != NOTHING else NEVER


@njit(forceinline=True)
def first_activated(
    fixed: Ints, units: Ints, banks: Ints, requests: Ints, c: int, cycle: int, half: int
) -> tuple[int, int]:
    """Which activated request issues its column command first, as `first_ready` says it.

    Of two that arrived at one cycle, the one activated first counts as the older.
    """
    soonest, found = NEVER, NOTHING
    num_units = fixed[RANKS] << fixed[STACK_SHIFT]
    for unit in range(c * num_units, (c + 1) * num_units):
        bits = units[unit, ACTIVATED]
        while bits:
            bank = (unit << fixed[UNIT_SHIFT]) + lowest_bit(bits)
            bits &= bits - 1
            at = banks[bank, HOLDER]
            command = RD + requests[at, IS_WRITE]
            ready = max(banks[bank, command], units[unit, command], cycle) | half
            if ready < soonest or (ready == soonest and _is_older(requests, at, found)):
                soonest, found = ready, at
    return found, soonest


@njit(forceinline=True)
def _is_older(requests: Ints, one: int, other: int) -> bool:
    if requests[one, ARRIVED] != requests[other, ARRIVED]:
        return bool(requests[one, ARRIVED] < requests[other, ARRIVED])
    return bool(requests[one, ACTIVATED_AT] < requests[other, ACTIVATED_AT])
