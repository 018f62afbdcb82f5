"""The memory controller: bursts of open transfers in, JEDEC-legal commands out, one memory clock edge after the other.

One call of `advance` simulates the edges first .. last - 1 for all channels. At each edge, in this order:

    1. bursts whose data ended release their place in the stream's outstanding limit;
    2. every channel issues at most one command (`_issue`);
    3. up to `channels` bursts are admitted, streams served round robin; the pointer stays after the last served.

So a burst admitted at edge m can have its first command at m + 1, and an unloaded read of a closed bank ends
1 + nRCD + nCL + nBL edges after its admission. A transfer is complete when its last burst's column command issues: its
end edge is the latest data end over its bursts, known from then on; `advance` then stops simulating at the edge where
that becomes visible to the core, so that nothing is simulated past an event others may react to.

A channel decides as Ramulator 2.1 does (CMU-SAFARI/ramulator2, commit c5b1c3a478b6, FRFCFS with row hits first):

    a. an activated request whose column command is legal now, oldest first;
    b. else, in the queue of the mode (write mode begins when writes > 0.8 * 32 or there are no reads and ends when
       writes < 0.2 * 32 and there are reads): the oldest request whose open row allows its column command now;
    c. else the oldest request whose bank is closed and may activate now (it moves to the activated list), or whose
       bank holds another row that may be precharged now and that no queued or activated request wants.

Each request counts once: as a row hit, miss (bank was closed) or conflict (another row was open) at its first command.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dsasim.kernels.dram_timing import (
    CL,
    CLOSED,
    CWL,
    BL,
    BankState,
    activate,
    activate_ready,
    column,
    column_ready,
    precharge,
    precharge_ready,
)

QUEUE_SLOTS = 32
WRITE_HIGH = 0.8 * QUEUE_SLOTS
WRITE_LOW = 0.2 * QUEUE_SLOTS
RING = 256
"""Edges of look-ahead for data on the bus; larger than nCL + nBL of any preset."""

# fields of a queued request
BANK, ROW, TRANSFER, WRITE, TOUCHED, FIELDS = 0, 1, 2, 3, 4, 5
# fields of a transfer
IS_WRITE, BASE, SEGMENT_BYTES, STRIDE, SEGMENTS, SEGMENT, NEXT, UNADMITTED, UNISSUED, END, ID, TRANSFER_FIELDS = range(12)
# fields of a stream
POSTED, ADMITTING, OUTSTANDING, STREAM_FIELDS = 0, 1, 2, 3
# counters
READS, WRITES, ACTIVATES, PRECHARGES, HITS, MISSES, CONFLICTS, BUSY_CORE, COUNTERS = range(9)
# clock fields
EDGE, POINTER, BUSY_THROUGH, LAST_DATA, CLOCK_FIELDS = range(5)
# address fields of the mapping
FIELD_CHANNEL, FIELD_BANKGROUP, FIELD_BANK, FIELD_COLUMN, FIELD_ROW = range(5)

NEVER = np.int64(1) << 60


class DramState(NamedTuple):
    """Everything the controller remembers between two calls; int64 unless said."""

    limits: NDArray[np.int64]  # [4]: access_bytes, outstanding limit, core edges numerator, denominator (see `advance`)
    mapping: NDArray[np.int64]  # [fields, 2]: address field and its size, least significant first
    banks: BankState
    clock: NDArray[np.int64]  # [CLOCK_FIELDS]
    queue: NDArray[np.int64]  # [channels, 2 (read, write), QUEUE_SLOTS, FIELDS], oldest first
    queued: NDArray[np.int64]  # [channels, 2]
    active: NDArray[np.int64]  # [channels, most bursts outstanding, FIELDS], oldest first
    activated: NDArray[np.int64]  # [channels]
    write_mode: NDArray[np.int64]  # [channels]
    next_try: NDArray[np.int64]  # [channels]: before this edge the channel cannot issue
    transfers: NDArray[np.int64]  # [streams, open transfers, TRANSFER_FIELDS], transfer i of a stream is in slot i mod open
    streams: NDArray[np.int64]  # [streams, STREAM_FIELDS]
    ending: NDArray[np.int64]  # [streams, RING]: bursts of a stream whose data ends at an edge
    on_bus: NDArray[np.int64]  # [RING]: 1 where a data bus moves in that memory cycle
    counters: NDArray[np.int64]  # [COUNTERS]
    log: NDArray[np.int64]  # [room, 4]: edge, command (0 ACT, 1 PRE, 2 RD, 3 WR), bank, row; row 0 counts (may be empty)


@njit(cache=True)
def _record(state: DramState, edge: int, command: int, bank: int, row: int) -> None:
    if len(state.log) > 0:
        state.log[0, 0] += 1
        at = state.log[0, 0]
        if at < len(state.log):
            state.log[at, 0] = edge
            state.log[at, 1] = command
            state.log[at, 2] = bank
            state.log[at, 3] = row


@njit(cache=True)
def _touch(state: DramState, request: NDArray[np.int64], kind: int) -> None:
    """Count the request as hit, miss or conflict, once."""
    if request[TOUCHED] == 0:
        request[TOUCHED] = 1
        state.counters[kind] += 1


@njit(cache=True)
def _issue_column(state: DramState, request: NDArray[np.int64], edge: int) -> int:
    """Issue the column command of `request`; return its transfer's index if that was the transfer's last burst, else -1."""
    write = request[WRITE]
    column(state.banks, request[BANK], write, edge)
    _record(state, edge, 2 + write, request[BANK], request[ROW])
    state.counters[READS + write] += 1
    data = edge + (state.banks.timing[CWL] if write else state.banks.timing[CL])
    end = data + state.banks.timing[BL]
    for memory_cycle in range(data, end):
        state.on_bus[memory_cycle % RING] = 1
    state.clock[LAST_DATA] = max(state.clock[LAST_DATA], end)
    stream = request[TRANSFER] // state.transfers.shape[1]
    state.ending[stream, end % RING] += 1
    transfer = state.transfers[stream, request[TRANSFER] % state.transfers.shape[1]]
    transfer[END] = max(transfer[END], end)
    transfer[UNISSUED] -= 1
    return request[TRANSFER] if transfer[UNISSUED] == 0 else -1


@njit(cache=True)
def _remove(rows: NDArray[np.int64], count: int, at: int) -> None:
    for later in range(at + 1, count):
        for field in range(FIELDS):
            rows[later - 1, field] = rows[later, field]


@njit(cache=True)
def _wanted(state: DramState, channel: int, bank: int, row: int) -> bool:
    """Whether any queued or activated request of the channel wants this row of this bank."""
    for at in range(state.activated[channel]):
        if state.active[channel, at, BANK] == bank and state.active[channel, at, ROW] == row:
            return True
    for side in range(2):
        for at in range(state.queued[channel, side]):
            if state.queue[channel, side, at, BANK] == bank and state.queue[channel, side, at, ROW] == row:
                return True
    return False


@njit(cache=True)
def _issue(state: DramState, channel: int, edge: int) -> tuple[int, int]:
    """Issue the channel's command of this edge, if any.

    Returns (finished transfer or -1, edge of the next try): the next edge after a command, else the earliest edge at
    which one of the requests it may serve becomes legal.
    """
    banks = state.banks
    soonest = NEVER
    for at in range(state.activated[channel]):
        request = state.active[channel, at]
        ready = column_ready(banks, request[BANK], request[WRITE])
        if ready <= edge:
            finished = _issue_column(state, request, edge)
            _remove(state.active[channel], state.activated[channel], at)
            state.activated[channel] -= 1
            return finished, edge + 1
        soonest = min(soonest, ready)
    reads = state.queued[channel, 0]
    writes = state.queued[channel, 1]
    if writes > WRITE_HIGH or reads == 0:
        state.write_mode[channel] = 1
    elif writes < WRITE_LOW:
        state.write_mode[channel] = 0
    side = state.write_mode[channel]
    queue = state.queue[channel, side]
    count = state.queued[channel, side]
    for at in range(count):
        request = queue[at]
        if banks.open_row[request[BANK]] == request[ROW]:
            ready = column_ready(banks, request[BANK], request[WRITE])
            if ready <= edge:
                _touch(state, request, HITS)
                finished = _issue_column(state, request, edge)
                _remove(queue, count, at)
                state.queued[channel, side] -= 1
                return finished, edge + 1
            soonest = min(soonest, ready)
    for at in range(count):
        request = queue[at]
        bank = request[BANK]
        row = banks.open_row[bank]
        if row == CLOSED:
            ready = activate_ready(banks, bank)
            if ready <= edge:
                _touch(state, request, MISSES)
                activate(banks, bank, request[ROW], edge)
                _record(state, edge, 0, bank, request[ROW])
                state.counters[ACTIVATES] += 1
                state.active[channel, state.activated[channel]] = request
                state.activated[channel] += 1
                _remove(queue, count, at)
                state.queued[channel, side] -= 1
                return -1, edge + 1
            soonest = min(soonest, ready)
        elif row != request[ROW]:
            ready = precharge_ready(banks, bank)
            if ready >= soonest or _wanted(state, channel, bank, row):
                continue
            if ready <= edge:
                _touch(state, request, CONFLICTS)
                precharge(banks, bank, edge)
                _record(state, edge, 1, bank, row)
                state.counters[PRECHARGES] += 1
                return -1, edge + 1
            soonest = ready
    return -1, soonest


@njit(cache=True)
def _place(mapping: NDArray[np.int64], burst: int) -> tuple[int, int, int, int]:
    """Channel, bank group, bank and row of burst number `burst` (address / access bytes)."""
    channel, group, bank, row = 0, 0, 0, 0
    for at in range(len(mapping)):
        field, size = mapping[at, 0], mapping[at, 1]
        value = burst % size
        burst //= size
        if field == FIELD_CHANNEL:
            channel = value
        elif field == FIELD_BANKGROUP:
            group = value
        elif field == FIELD_BANK:
            bank = value
        elif field == FIELD_ROW:
            row = value
    return channel, group, bank, row


@njit(cache=True)
def _admit(state: DramState, stream: int, edge: int) -> bool:
    """Admit the stream's next burst into its channel's queue, if its limit and the queue have room."""
    room = state.transfers.shape[1]
    if state.streams[stream, OUTSTANDING] >= state.limits[1]:
        return False
    if state.streams[stream, ADMITTING] == state.streams[stream, POSTED]:
        return False
    slot = state.streams[stream, ADMITTING] % room
    transfer = state.transfers[stream, slot]
    access = state.limits[0]
    channel, group, bank, row = _place(state.mapping, transfer[NEXT] // access)
    write = transfer[IS_WRITE]
    at = state.queued[channel, write]
    if at == QUEUE_SLOTS:
        return False
    groups, per_group = state.banks.groups_per_channel, state.banks.banks_per_group
    request = state.queue[channel, write, at]
    request[BANK] = (channel * groups + group) * per_group + bank
    request[ROW] = row
    request[TRANSFER] = stream * room + slot
    request[WRITE] = write
    request[TOUCHED] = 0
    state.queued[channel, write] += 1
    state.next_try[channel] = edge + 1
    state.streams[stream, OUTSTANDING] += 1
    transfer[UNADMITTED] -= 1
    if transfer[UNADMITTED] == 0:
        state.streams[stream, ADMITTING] += 1
    start = transfer[BASE] + transfer[SEGMENT] * transfer[STRIDE]
    transfer[NEXT] += access
    if transfer[NEXT] >= start + transfer[SEGMENT_BYTES]:
        transfer[SEGMENT] += 1
        following = transfer[BASE] + transfer[SEGMENT] * transfer[STRIDE]
        transfer[NEXT] = following - following % access
    return True


@njit(cache=True)
def _pass_edge(state: DramState, edge: int) -> None:
    """Release bursts that ended at this edge, and count the core cycles that the memory cycle [edge, edge + 1) touches if a bus moves in it."""
    at = edge % RING
    for stream in range(len(state.streams)):
        state.streams[stream, OUTSTANDING] -= state.ending[stream, at]
        state.ending[stream, at] = 0
    if state.on_bus[at]:
        state.on_bus[at] = 0
        num, den = state.limits[2], state.limits[3]
        first = max(edge * num // den, state.clock[BUSY_THROUGH])
        after = -(-(edge + 1) * num // den)
        if after > first:
            state.counters[BUSY_CORE] += after - first
            state.clock[BUSY_THROUGH] = after


@njit(cache=True)
def catch_up(state: DramState, edge: int) -> None:
    """Let the quiet edges before `edge` pass: nothing is queued, but data may still be on a bus."""
    passed = state.clock[EDGE]
    while passed < edge and passed <= state.clock[LAST_DATA]:
        _pass_edge(state, passed)
        passed += 1
    state.clock[EDGE] = max(edge, state.clock[EDGE])


@njit(cache=True)
def advance(state: DramState, first: int, last: int, finished: NDArray[np.int64]) -> tuple[int, int]:
    """Simulate the edges max(first, next unsimulated) .. last - 1, fewer once a transfer completes, none that are idle.

    Edge m is at core time m * num / den cycles (`state.limits[2]`, `[3]`). A completion ending at edge e is visible at
    core cycle ceil(e * num / den); edges at or after that time are left for the next call. `finished` [n, 2] receives
    (transfer index, end edge) of each completion. Returns (completions, bursts not yet issued).
    """
    catch_up(state, first)
    num, den = state.limits[2], state.limits[3]
    channels = len(state.queued)
    num_streams = len(state.streams)
    remaining = np.int64(0)
    for stream in range(num_streams):
        for slot in range(state.transfers.shape[1]):
            remaining += state.transfers[stream, slot, UNISSUED]
    completions = 0
    edge = state.clock[EDGE]
    while edge < last and remaining > 0:
        _pass_edge(state, edge)
        for channel in range(channels):
            if edge < state.next_try[channel]:
                continue
            issued = state.counters[READS] + state.counters[WRITES]
            transfer, state.next_try[channel] = _issue(state, channel, edge)
            remaining -= state.counters[READS] + state.counters[WRITES] - issued
            if transfer >= 0:
                end = state.transfers[transfer // state.transfers.shape[1], transfer % state.transfers.shape[1], END]
                finished[completions, 0] = transfer
                finished[completions, 1] = end
                completions += 1
                visible = -(-end * num // den)
                last = min(last, -(-visible * den // num))
        for _ in range(channels):
            served = False
            for turn in range(num_streams):
                stream = (state.clock[POINTER] + turn) % num_streams
                if _admit(state, stream, edge):
                    state.clock[POINTER] = (stream + 1) % num_streams
                    served = True
                    break
            if not served:
                break
        edge += 1
    state.clock[EDGE] = edge
    return completions, remaining
