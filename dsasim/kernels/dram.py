"""The memory controller: bursts of open transfers in, JEDEC-legal commands out, one memory clock edge after the other.

One call of `advance` simulates edges for all channels. At each edge, in this order:

    1. bursts whose data ended release their place in the stream's outstanding limit;
    2. every channel issues at most one command (`dram_queue.issue`);
    3. up to `channels` bursts are admitted, streams served round robin; the pointer stays after the last served.

So a burst admitted at edge m can have its first command at m + 1, and an unloaded read of a closed bank ends
1 + nRCD + nCL + nBL edges after its admission. A transfer is complete when its last burst's column command issues: its
end edge is the latest data end over its bursts, known from then on; `advance` then stops at the edge where that becomes
visible to the core, so that nothing is simulated past an event others may react to.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dsasim.kernels.dram_queue import (
    BANK,
    BUSY_CORE,
    GROUP,
    IS_WRITE,
    LENGTH,
    NEXT_TRY,
    NOTHING,
    QUEUE_SLOTS,
    ROW,
    TOUCHED,
    TRANSFER,
    enter,
    issue,
    remove,
)
from dsasim.kernels.dram_timing import BL, CL, CWL

RING = 256
"""Edges of look-ahead for data on the bus: a power of two above nCL + nBL of any preset."""

# fields of a transfer: its current run, the run's next burst to admit (byte address / access bytes) and bursts left
WRITES_DATA, RUN, NEXT, LEFT_IN_RUN, UNADMITTED, UNISSUED, END, TRANSFER_FIELDS = range(8)
# fields of a stream; NEXT_CHANNEL .. NEXT_ROW are where its next burst goes once DECODED
POSTED, ADMITTING, OUTSTANDING, DECODED, NEXT_CHANNEL, NEXT_GROUP, NEXT_BANK, NEXT_ROW, STREAM_FIELDS = range(9)
# scalars
EDGE, POINTER, BUSY_THROUGH, LAST_DATA, OUTSTANDING_LIMIT, NUM, DEN, GROUPS, BANKS, SCALARS = range(10)
# address fields of the mapping
FIELD_CHANNEL, FIELD_BANKGROUP, FIELD_BANK, FIELD_COLUMN, FIELD_ROW = range(5)

Ints = NDArray[np.int64]


class DramState(NamedTuple):
    """Everything the controller remembers between two calls, int64."""

    scalars: Ints  # [SCALARS]; edge m is at core time m * NUM / DEN; GROUPS a channel, BANKS a group
    timing: Ints  # [16], see dram_timing
    mapping: Ints  # [fields, 2]: address field and its size, least significant first
    bank: Ints  # [banks, 5]
    group: Ints  # [bank groups, 4]
    channel: Ints  # [channels, CHANNEL_FIELDS]
    requests: Ints  # [channels, LISTS, room, FIELDS], oldest first
    transfers: Ints  # [streams, open transfers, TRANSFER_FIELDS]: transfer i of a stream is in slot i mod open
    runs: Ints  # [streams * open transfers, room, 2]: first burst and number of bursts of each run of a transfer
    streams: Ints  # [streams, STREAM_FIELDS]
    ring: Ints  # [streams + 2, RING] by edge: bursts of each stream that end, of all streams, and 1 if a bus moves
    counters: Ints  # [COUNTERS]
    log: Ints  # [room, 4]: edge, command, bank, row; empty unless asked for


@njit(cache=True)
def _decode(scalars: Ints, mapping: Ints, transfers: Ints, streams: Ints, stream: int) -> None:
    """Find where the stream's next burst goes."""
    slot = streams[stream, ADMITTING] % transfers.shape[1]
    rest = transfers[stream, slot, NEXT]
    channel, group, bank, row = 0, 0, 0, 0
    for at in range(len(mapping)):
        field, size = mapping[at, 0], mapping[at, 1]
        value = rest % size
        rest //= size
        if field == FIELD_CHANNEL:
            channel = value
        elif field == FIELD_BANKGROUP:
            group = value
        elif field == FIELD_BANK:
            bank = value
        elif field == FIELD_ROW:
            row = value
    streams[stream, NEXT_CHANNEL] = channel
    streams[stream, NEXT_GROUP] = channel * scalars[GROUPS] + group
    streams[stream, NEXT_BANK] = streams[stream, NEXT_GROUP] * scalars[BANKS] + bank
    streams[stream, NEXT_ROW] = row
    streams[stream, DECODED] = 1


@njit(cache=True)
def _step(transfers: Ints, runs: Ints, streams: Ints, stream: int, slot: int) -> None:
    """Move the transfer, and the stream where it is done, to the next burst to admit."""
    streams[stream, DECODED] = 0
    transfers[stream, slot, UNADMITTED] -= 1
    if transfers[stream, slot, UNADMITTED] == 0:
        streams[stream, ADMITTING] += 1
        return
    transfers[stream, slot, NEXT] += 1
    transfers[stream, slot, LEFT_IN_RUN] -= 1
    if transfers[stream, slot, LEFT_IN_RUN] == 0:
        transfers[stream, slot, RUN] += 1
        index, run = stream * transfers.shape[1] + slot, transfers[stream, slot, RUN]
        transfers[stream, slot, NEXT], transfers[stream, slot, LEFT_IN_RUN] = runs[index, run, 0], runs[index, run, 1]


@njit(cache=True)
def _admit(
    scalars: Ints,
    mapping: Ints,
    bank: Ints,
    group: Ints,
    channel: Ints,
    requests: Ints,
    transfers: Ints,
    runs: Ints,
    streams: Ints,
    stream: int,
    edge: int,
) -> bool:
    """Admit the stream's next burst into its channel's queue, if its limit and the queue have room."""
    if streams[stream, ADMITTING] == streams[stream, POSTED]:
        return False
    if streams[stream, OUTSTANDING] >= scalars[OUTSTANDING_LIMIT]:
        return False
    if streams[stream, DECODED] == 0:
        _decode(scalars, mapping, transfers, streams, stream)
    slot = streams[stream, ADMITTING] % transfers.shape[1]
    c, write = streams[stream, NEXT_CHANNEL], transfers[stream, slot, WRITES_DATA]
    at = channel[c, LENGTH + write]
    if at == QUEUE_SLOTS:
        return False
    requests[c, write, at, BANK] = streams[stream, NEXT_BANK]
    requests[c, write, at, GROUP] = streams[stream, NEXT_GROUP]
    requests[c, write, at, ROW] = streams[stream, NEXT_ROW]
    requests[c, write, at, TRANSFER] = stream * transfers.shape[1] + slot
    requests[c, write, at, IS_WRITE] = write
    requests[c, write, at, TOUCHED] = 0
    enter(bank, group, channel, requests, c, write, edge)
    streams[stream, OUTSTANDING] += 1
    _step(transfers, runs, streams, stream, slot)
    return True


@njit(cache=True)
def _move_data(scalars: Ints, timing: Ints, transfers: Ints, ring: Ints, index: int, write: int, edge: int) -> bool:
    """Book the data of a column command at `edge` for transfer `index`; True if it was the transfer's last burst."""
    first = edge + (timing[CWL] if write else timing[CL])
    end = first + timing[BL]
    stream, slot = index // transfers.shape[1], index % transfers.shape[1]
    for memory_cycle in range(first, end):
        ring[-1, memory_cycle & (RING - 1)] = 1
    ring[stream, end & (RING - 1)] += 1
    ring[-2, end & (RING - 1)] += 1
    scalars[LAST_DATA] = max(scalars[LAST_DATA], end)
    transfers[stream, slot, END] = max(transfers[stream, slot, END], end)
    transfers[stream, slot, UNISSUED] -= 1
    return bool(transfers[stream, slot, UNISSUED] == 0)


@njit(cache=True)
def _pass_edge(scalars: Ints, streams: Ints, ring: Ints, counters: Ints, edge: int) -> bool:
    """Release bursts that end at this edge (True if any); count the core cycles in which a data bus moves."""
    at = edge & (RING - 1)
    if ring[-1, at]:
        ring[-1, at] = 0
        first = max(edge * scalars[NUM] // scalars[DEN], scalars[BUSY_THROUGH])
        after = -(-(edge + 1) * scalars[NUM] // scalars[DEN])
        if after > first:
            counters[BUSY_CORE] += after - first
            scalars[BUSY_THROUGH] = after
    if ring[-2, at] == 0:
        return False
    ring[-2, at] = 0
    for stream in range(len(streams)):
        streams[stream, OUTSTANDING] -= ring[stream, at]
        ring[stream, at] = 0
    return True


@njit(cache=True)
def catch_up(state: DramState, edge: int) -> None:
    """Let the quiet edges before `edge` pass: nothing is queued, but data may still be on a bus."""
    passed = state.scalars[EDGE]
    while passed < edge and passed <= state.scalars[LAST_DATA]:
        _pass_edge(state.scalars, state.streams, state.ring, state.counters, passed)
        passed += 1
    state.scalars[EDGE] = max(edge, state.scalars[EDGE])


@njit(cache=True)
def advance(state: DramState, first: int, last: int, finished: Ints) -> tuple[int, int]:
    """Simulate the edges from max(first, next unsimulated) to last - 1, fewer once a transfer completes.

    A completion ending at edge e is visible at core cycle ceil(e * NUM / DEN); edges at or after that time are left for
    the next call. `finished` [n, 2] receives (transfer index, end edge) of each completion. Returns (completions,
    bursts not yet issued).
    """
    catch_up(state, first)
    scalars, timing, mapping, counters, log = state.scalars, state.timing, state.mapping, state.counters, state.log
    bank, group, channel, requests = state.bank, state.group, state.channel, state.requests
    transfers, runs, streams, ring = state.transfers, state.runs, state.streams, state.ring
    num, den = scalars[NUM], scalars[DEN]
    remaining = np.sum(transfers[:, :, UNISSUED])
    completions = 0
    full = False
    edge = scalars[EDGE]
    while edge < last and remaining > 0:
        if _pass_edge(scalars, streams, ring, counters, edge):
            full = False
        for c in range(len(channel)):
            if edge < channel[c, NEXT_TRY]:
                continue
            full = False
            which, at = issue(timing, bank, group, channel, requests, counters, log, c, edge)
            if at == NOTHING:
                continue
            index = requests[c, which, at, TRANSFER]
            done = _move_data(scalars, timing, transfers, ring, index, requests[c, which, at, IS_WRITE], edge)
            remove(requests, channel, c, which, at)
            remaining -= 1
            if done:
                finished[completions, 0] = index
                finished[completions, 1] = transfers[index // transfers.shape[1], index % transfers.shape[1], END]
                visible = -(-finished[completions, 1] * num // den)
                last = min(last, -(-visible * den // num))
                completions += 1
        for _ in range(0 if full else len(channel)):
            full = True
            for turn in range(len(streams)):
                stream = (scalars[POINTER] + turn) % len(streams)
                if _admit(scalars, mapping, bank, group, channel, requests, transfers, runs, streams, stream, edge):
                    scalars[POINTER] = (stream + 1) % len(streams)
                    full = False
                    break
            if full:
                break
        edge += 1
    scalars[EDGE] = edge
    return completions, int(remaining)
