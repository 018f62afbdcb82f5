"""A slow model of DRAMsim3's controller (DDR4, one channel, one rank), which can be turned into ours a rule at a time.

Rules: umd-memsys/DRAMsim3, commit 29817593b338 (MIT), in words. What was read are stored copies of its files, some of
them older; that these are that commit's rules is shown by its cycles and ACTs (golden/dram/dramsim3_alone.csv), all met
exactly. At each edge, in this order:

    offer     one request, in order: to the 32 reads or the 32 writes that wait; not if its kind is full. A read of a
              pending read or write and a write to a pending write cost nothing (controller.cc, AddTransaction)
    refresh   each nREFI: no other command until every open bank is precharged and the rank is refreshed
              (refresh.cc; command_queue.cc, FinishRefresh; channel_state.cc, GetReadyCommand)
    command   banks in turn, the first whose queue has a request that may have its command, oldest first: RD, WR or ACT;
              PRE only for the bank's oldest, and not while another waits for the open row, unless that had 4 accesses;
              no WR before an older RD of the same burst (command_queue.cc, GetCommandToIssue to HasRWDependency)
    move      the oldest waiting request whose bank has room among its 8 goes there: a read, or while writes are drained
              a write. All writes that wait are drained once there are 32, or more than 8 and no bank has a request; a
              write to a burst that is still to be read ends that (controller.cc, ScheduleTransaction)

Up to 8 writes are left at the end, as there. Distances are dsasim's (`model.dram_rules`) but for three (timing.cc):
RD→WR nCL + nBL + 1 - nCWL (its tRTRS is 1, ours 2), with a closed page RD→ACT nBL longer, and no ACT→REF.
"""

from typing import NamedTuple

import numpy as np
from dram_traces import Trace
from numba import njit
from numpy.typing import NDArray

from dsasim.kernels.dram_timing import ACT, COMMANDS, IN_BANK, IN_GROUP, IN_RANK, LONG_AGO, PRE, RD, REF, WR
from dsasim.model.dram_preset import DramPreset
from dsasim.model.dram_rules import constraints, table

BANKS, BANKS_PER_GROUP = 16, 4
WAITING, FEW = 32, 8
"""Reads and writes that wait; writes that are not worth a drain."""
NONE = -1
Ints = NDArray[np.int64]


class Policy(NamedTuple):
    """What tells the two controllers apart: room in a bank's queue and in all, hits while another row waits, choice."""

    of_a_bank: int = 8
    in_all: int = BANKS * 8
    hit_cap: int = 4
    oldest_first: bool = False
    """Of all banks, not banks in turn."""
    activated_first: bool = False
    """With `oldest_first`: requests whose row has been opened and not been used yet, before all others."""
    own_distances: bool = True
    """The three of DRAMsim3's timing.cc."""


DRAMSIM3 = Policy()
ONE_QUEUE = Policy(of_a_bank=32, in_all=32, hit_cap=1 << 40, oldest_first=True)
ACTIVATED_FIRST = ONE_QUEUE._replace(activated_first=True)
OUR_DISTANCES = ACTIVATED_FIRST._replace(own_distances=False)


class Requests(NamedTuple):
    """In the order they are offered; int64 [n] each."""

    bank: Ints
    row: Ints
    burst: Ints
    write: Ints
    not_before: Ints


class Banks(NamedTuple):
    """Of each bank: earliest edge of each command, open row, accesses to it; its requests, oldest first; how many."""

    earliest: Ints
    row: Ints
    hits: Ints
    queue: Ints
    length: Ints


class Result(NamedTuple):
    """End of the last data; ACTs."""

    cycles: int
    acts: int


def run(preset: DramPreset, trace: Trace, policy: Policy, *, groups_lowest: bool, closed_page: bool) -> Result:
    """Order of addresses: row, bank, column, bank group; or row, bank, bank group, column."""
    burst, per_row = trace.addresses // preset.access_bytes, preset.bursts_per_row
    group = burst % 4 if groups_lowest else burst // per_row % 4
    above = burst // (4 * per_row)
    requests = Requests(
        bank=group * BANKS_PER_GROUP + above % 4,
        row=above // 4 % preset.rows,
        burst=burst,
        write=trace.writes.astype(np.int64),
        not_before=trace.not_before.copy(),
    )
    t, wait = preset.ticks, table(constraints(preset.ticks, {}, closed_page=closed_page))
    if policy.own_distances:
        wait[RD, IN_RANK, WR] = t["nCL"] + t["nBL"] + 1 - t["nCWL"]
        wait[RD, IN_BANK, ACT] += t["nBL"]
        wait[ACT, IN_RANK, REF] = LONG_AGO
    to_end = np.zeros(COMMANDS, np.int64)
    to_end[RD], to_end[WR] = t["nCL"] + t["nBL"], t["nCWL"] + t["nBL"]
    return Result(*_run(requests, wait, to_end, t["nFAW"], t["nREFI"], closed_page, policy))


@njit(cache=True)
def _run(
    requests: Requests, wait: Ints, to_end: Ints, faw: int, refi: int, closed_page: bool, policy: Policy
) -> tuple[int, int]:
    banks = Banks(
        np.zeros((BANKS, COMMANDS), np.int64),
        np.full(BANKS, NONE),
        np.zeros(BANKS, np.int64),
        np.zeros((BANKS, policy.of_a_bank), np.int64),
        np.zeros(BANKS, np.int64),
    )
    lines, lengths = np.zeros((2, WAITING), np.int64), np.zeros(2, np.int64)  # reads, writes that wait
    last_acts = np.full(4, -faw)
    edge = offered = draining = turn = acts = last = 0
    refreshing = False
    while offered < len(requests.bank) or lengths[0] or banks.length.any() or draining or lengths[1] > FEW:
        offered += _offer(requests, banks, lines, lengths, offered, edge)
        refreshing |= edge > 0 and edge % refi == 0
        if refreshing:
            bank, at, command = _towards_refresh(banks, edge)
            refreshing = command != REF
        else:
            may_act = edge - last_acts[acts % 4] >= faw
            bank, at, command = _choose(requests, banks, turn, edge, may_act, policy)
            turn = turn if command == NONE else bank
        if command != NONE:
            request = banks.queue[bank, at] if at != NONE else 0
            _issue(banks, wait, bank, command, requests.row[request], edge, closed_page)
            if command == ACT:
                last_acts[acts % 4] = edge
                acts += 1
            elif command in (RD, WR):
                _take(banks.queue[bank], banks.length[bank], at)
                banks.length[bank] -= 1
                last = max(last, edge + to_end[command])
        if draining == 0 and (lengths[1] == WAITING or (lengths[1] > FEW and not banks.length.any())):
            draining = lengths[1]
        draining = _move(requests, banks, lines, lengths, draining, policy)
        edge += 1
    return last, acts


@njit(cache=True)
def _offer(requests: Requests, banks: Banks, lines: Ints, lengths: Ints, offered: int, edge: int) -> int:
    """How many requests are accepted at this edge: 0 or 1."""
    if offered == len(requests.bank) or edge < requests.not_before[offered]:
        return 0
    bank, burst, write = requests.bank[offered], requests.burst[offered], requests.write[offered]
    if lengths[write] == WAITING:
        return 0
    for kind in range(write, 2):  # a pending write serves both, a pending read only a read
        if _find(requests, lines[kind], lengths[kind], burst, kind):
            return 1
        if _find(requests, banks.queue[bank], banks.length[bank], burst, kind):
            return 1
    lines[write, lengths[write]] = offered
    lengths[write] += 1
    return 1


@njit(cache=True)
def _towards_refresh(banks: Banks, edge: int) -> tuple[int, int, int]:
    """PRE of the first open bank that may have it; or once all are closed and ready REF; bank, NONE, command."""
    for bank in range(BANKS):
        if banks.row[bank] != NONE and edge >= banks.earliest[bank, PRE]:
            return bank, NONE, PRE
    if banks.row.max() == NONE and edge >= banks.earliest[:, REF].max():
        return 0, NONE, REF
    return 0, NONE, NONE


@njit(cache=True)
def _choose(
    requests: Requests, banks: Banks, turn: int, edge: int, may_act: bool, policy: Policy
) -> tuple[int, int, int]:
    """Bank, place in its queue, command: of the first bank in turn, or of the oldest request."""
    chosen, youngest = (0, NONE, NONE), 1 << 60
    for step in range(1, BANKS + 1):
        bank = (turn + step) % BANKS
        at, command = _first_ready(requests, banks, bank, edge, may_act, policy.hit_cap)
        if command == NONE:
            continue
        if not policy.oldest_first:
            return bank, at, command
        order = banks.queue[bank, at]
        if policy.activated_first and command in (RD, WR) and banks.hits[bank] == 0:
            order -= 1 << 40
        if order < youngest:
            chosen, youngest = (bank, at, command), order
    return chosen


@njit(cache=True)
def _first_ready(
    requests: Requests, banks: Banks, bank: int, edge: int, may_act: bool, hit_cap: int
) -> tuple[int, int]:
    """Place and command of the oldest request of a bank that may have its next command."""
    queue, length, row = banks.queue[bank], banks.length[bank], banks.row[bank]
    for at in range(length):
        request = queue[at]
        if row == NONE:
            command = ACT
        elif requests.row[request] != row:
            command = PRE
        else:
            command = WR if requests.write[request] else RD
        if edge < banks.earliest[bank, command] or (command == ACT and not may_act):
            continue
        if command == PRE and (at > 0 or (banks.hits[bank] < hit_cap and _row_wanted(requests, queue, length, row))):
            continue
        if command == WR and _find(requests, queue, at, requests.burst[request], 0):
            continue
        return at, command
    return NONE, NONE


@njit(cache=True)
def _issue(banks: Banks, wait: Ints, bank: int, command: int, row: int, edge: int, closed_page: bool) -> None:
    for other in range(BANKS):
        for then in range(COMMANDS):
            distance = wait[command, IN_RANK, then]
            if other // BANKS_PER_GROUP == bank // BANKS_PER_GROUP:
                distance = max(distance, wait[command, IN_GROUP, then])
            if other == bank:
                distance = max(distance, wait[command, IN_BANK, then])
            banks.earliest[other, then] = max(banks.earliest[other, then], edge + distance)
    if command == ACT:
        banks.row[bank], banks.hits[bank] = row, 0
    elif command == PRE or (closed_page and command in (RD, WR)):
        banks.row[bank] = NONE
    elif command in (RD, WR):
        banks.hits[bank] += 1


@njit(cache=True)
def _move(requests: Requests, banks: Banks, lines: Ints, lengths: Ints, draining: int, policy: Policy) -> int:
    """Move one request to its bank; returns how many writes are still to be drained."""
    kind = 1 if draining else 0
    if banks.length.sum() == policy.in_all:
        return draining
    for at in range(lengths[kind]):
        request = lines[kind, at]
        bank = requests.bank[request]
        if banks.length[bank] == policy.of_a_bank:
            continue
        burst = requests.burst[request]
        if draining and (
            _find(requests, lines[0], lengths[0], burst, 0)
            or _find(requests, banks.queue[bank], banks.length[bank], burst, 0)
        ):
            return 0
        banks.queue[bank, banks.length[bank]] = request
        banks.length[bank] += 1
        _take(lines[kind], lengths[kind], at)
        lengths[kind] -= 1
        return draining - kind
    return draining


@njit(cache=True)
def _find(requests: Requests, line: Ints, length: int, burst: int, write: int) -> bool:
    """Whether a read or a write of this burst is among the first `length`."""
    for at in range(length):  # noqa: SIM110 (Numba compiles no generator)
        if requests.burst[line[at]] == burst and requests.write[line[at]] == write:
            return True
    return False


@njit(cache=True)
def _row_wanted(requests: Requests, line: Ints, length: int, row: int) -> bool:
    for at in range(length):  # noqa: SIM110
        if requests.row[line[at]] == row:
            return True
    return False


@njit(cache=True)
def _take(line: Ints, length: int, at: int) -> None:
    """Close the gap at `at`."""
    for later in range(at + 1, length):
        line[later - 1] = line[later]
