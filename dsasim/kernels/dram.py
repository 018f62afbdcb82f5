"""The memory of the machine: bursts of open transfers in, commands out, one memory cycle after the other.

A memory cycle is a tick of the controller: a clock cycle of the DRAM, half of one for HBM3 (`model.dram_preset`). It is
what `cycle` means in the DRAM kernels, where nothing else is said. One call of `advance` simulates cycles for all
channels. In each, in this order:

    1. bursts whose data ended release their place in the stream's outstanding limit;
    2. every channel issues its commands (`dram_channel.tick`);
    3. up to `channels` bursts are admitted, streams served round robin; the pointer stays after the last served.

So a burst admitted at cycle m can have its first command at m + 1, and an unloaded read of a closed bank ends
1 + nRCD + nCL + nBL cycles after its admission. A transfer is complete when its last burst's column command issues (or
it was forwarded or merged, see `dram_channel`): its end cycle is the latest data end over its bursts, known from then
on; `advance` then stops at the cycle where that becomes visible to the core, so that nothing is simulated past an event
others may react to. Refreshes of an idle memory are made up for when it is next looked at (`dram_idle`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.borrow import borrow
from dsasim.kernels.dram_channel import REFUSED, SHORTCUT, admit, tick
from dsasim.kernels.dram_commands import NEXT_TRY
from dsasim.kernels.dram_idle import pass_quiet
from dsasim.kernels.dram_mapping import locate
from dsasim.kernels.dram_timing import BL, CL, CWL, NOTHING
from dsasim.kernels.jit import njit

RING = 256
"""Cycles of look-ahead for data on the bus: a power of two above nCL + nBL of any preset."""

# fields of a transfer: its current run, the run's next burst to admit (byte address / access bytes) and bursts left
WRITES_DATA, RUN, NEXT, LEFT_IN_RUN, UNADMITTED, UNISSUED, END, TRANSFER_FIELDS = range(8)
# fields of a stream; NEXT_CHANNEL .. NEXT_ROW are where its next burst goes once LOCATED
POSTED, ADMITTING, OUTSTANDING, LOCATED, NEXT_CHANNEL, NEXT_BANK, NEXT_ROW, STREAM_FIELDS = range(8)
# scalars
CYCLE, POINTER, BUSY_THROUGH, BUSY_CORE, LAST_DATA, OUTSTANDING_LIMIT, NUM, DEN, SCALARS = range(9)

Ints = NDArray[np.int64]


class MemoryState(NamedTuple):
    """All channels, int64; see `dram_timing`, `dram_queue`, `dram_commands` and `dram_mapping` for the fields."""

    fixed: Ints  # [FIXED]
    latencies: Ints  # [COMMANDS, SCOPES, COMMANDS]
    pieces: Ints  # [pieces, 4]
    hashes: Ints  # [hashes, 3]
    units: Ints  # [units, UNIT_FIELDS]
    banks: Ints  # [banks, BANK_FIELDS]
    ranks: Ints  # [ranks, RANK_FIELDS]
    channel: Ints  # [channels, CHANNEL_FIELDS]
    requests: Ints  # [channels * slots, FIELDS]
    written: Ints  # [channels, WRITTEN]
    counters: Ints  # [channels, COUNTERS]
    log: Ints  # [entries, 4]: cycle, command, bank, row; empty unless asked for


class DramState(NamedTuple):
    """The state of the machine's side between two calls of `advance`, int64."""

    scalars: Ints  # [SCALARS]; cycle m is at core time m * NUM / DEN
    transfers: Ints  # [streams, open transfers, TRANSFER_FIELDS]: transfer i of a stream is in slot i mod open
    runs: Ints  # [streams * open transfers, runs, 2]: first burst and number of bursts of each run of a transfer
    streams: Ints  # [streams, STREAM_FIELDS]
    ring: Ints  # [streams + 2, RING] by cycle: bursts of each stream that end, of all streams, and 1 if a bus moves


@njit(forceinline=True)
def _step(transfers: Ints, runs: Ints, streams: Ints, stream: int, slot: int) -> None:
    """Move the transfer, and the stream where it is done, to the next burst to admit."""
    streams[stream, LOCATED] = 0
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


@njit(forceinline=True)
def _offer(
    fixed: Ints, pieces: Ints, hashes: Ints, units: Ints, banks: Ints, channel: Ints, requests: Ints, written: Ints,
    counters: Ints, transfers: Ints, runs: Ints, streams: Ints, stream: int, cycle: int,
) -> tuple[int, int]:  # fmt: skip
    """Offer the stream's next burst to its channel; what became of it, and its transfer."""
    slot = streams[stream, ADMITTING] % transfers.shape[1]
    burst, write = transfers[stream, slot, NEXT], transfers[stream, slot, WRITES_DATA]
    if streams[stream, LOCATED] == 0:
        c, bank, row = locate(fixed, pieces, hashes, burst)
        streams[stream, NEXT_CHANNEL], streams[stream, NEXT_BANK], streams[stream, NEXT_ROW] = c, bank, row
        streams[stream, LOCATED] = 1
    index = stream * transfers.shape[1] + slot
    answer = admit(
        fixed, units, banks, channel, requests, written, counters, streams[stream, NEXT_CHANNEL],
        streams[stream, NEXT_BANK], streams[stream, NEXT_ROW], write, index, burst, cycle,
    )  # fmt: skip
    if answer != REFUSED:
        streams[stream, OUTSTANDING] += 1
        _step(transfers, runs, streams, stream, slot)
    return answer, index


@njit(forceinline=True)
def _ends(scalars: Ints, transfers: Ints, ring: Ints, index: int, end: int) -> bool:
    """Record the end of a burst of transfer `index`; True if it was the last that was unknown."""
    stream, slot = index // transfers.shape[1], index % transfers.shape[1]
    ring[stream, end & (RING - 1)] += 1
    ring[-2, end & (RING - 1)] += 1
    scalars[LAST_DATA] = max(scalars[LAST_DATA], end)
    transfers[stream, slot, END] = max(transfers[stream, slot, END], end)
    transfers[stream, slot, UNISSUED] -= 1
    return bool(transfers[stream, slot, UNISSUED] == 0)


@njit(forceinline=True)
def _pass_cycle(scalars: Ints, streams: Ints, ring: Ints, cycle: int) -> bool:
    """Release bursts that end at this cycle (True if any); count the core cycles in which a data bus moves."""
    at = cycle & (RING - 1)
    if ring[-1, at]:
        ring[-1, at] = 0
        first = max(cycle * scalars[NUM] // scalars[DEN], scalars[BUSY_THROUGH])
        after = -(-(cycle + 1) * scalars[NUM] // scalars[DEN])
        if after > first:
            scalars[BUSY_CORE] += after - first
            scalars[BUSY_THROUGH] = after
    if ring[-2, at] == 0:
        return False
    ring[-2, at] = 0
    for stream in range(len(streams)):
        streams[stream, OUTSTANDING] -= ring[stream, at]
        ring[stream, at] = 0
    return True


@njit()
def catch_up(memory: MemoryState, state: DramState, cycle: int) -> None:
    """Let the quiet cycles before `cycle` pass: nothing is queued, but data may be on a bus and refreshes fall due."""
    fixed, latencies = borrow(memory.fixed), borrow(memory.latencies)
    units, banks, ranks, channel = (
        borrow(memory.units),
        borrow(memory.banks),
        borrow(memory.ranks),
        borrow(memory.channel),
    )
    requests, written = borrow(memory.requests), borrow(memory.written)
    counters, log = borrow(memory.counters), borrow(memory.log)
    passed = state.scalars[CYCLE]
    while passed < cycle and passed <= state.scalars[LAST_DATA]:
        _pass_cycle(state.scalars, state.streams, state.ring, passed)
        passed += 1
    pass_quiet(fixed, latencies, units, banks, ranks, channel, requests, written, counters, log, cycle)
    state.scalars[CYCLE] = max(cycle, state.scalars[CYCLE])


@njit()
def advance(memory: MemoryState, state: DramState, first: int, last: int, finished: Ints) -> tuple[int, int]:
    """Simulate the cycles from max(first, next unsimulated) to last - 1, fewer once a transfer completes.

    A completion ending at cycle m is visible at core cycle ceil(m * NUM / DEN); cycles at or after that time are left
    for the next call. `finished` [n, 2] receives (transfer index, end cycle) of each completion. Returns (completions,
    bursts not yet issued).
    """
    catch_up(memory, state, first)
    fixed, latencies = borrow(memory.fixed), borrow(memory.latencies)
    units, banks, ranks = borrow(memory.units), borrow(memory.banks), borrow(memory.ranks)
    channel, requests, written = borrow(memory.channel), borrow(memory.requests), borrow(memory.written)
    counters, log = borrow(memory.counters), borrow(memory.log)
    pieces, hashes, scalars = borrow(memory.pieces), borrow(memory.hashes), borrow(state.scalars)
    transfers, runs = borrow(state.transfers), borrow(state.runs)
    streams, ring = borrow(state.streams), borrow(state.ring)
    num, den = scalars[NUM], scalars[DEN]
    remaining = np.sum(transfers[:, :, UNISSUED])
    completions = 0
    full = False
    cycle = scalars[CYCLE]
    while cycle < last and remaining > 0:
        if _pass_cycle(scalars, streams, ring, cycle):
            full = False
        for c in range(len(channel)):
            if cycle < channel[c, NEXT_TRY]:
                continue
            full = False
            index, write, _ = tick(
                fixed, latencies, units, banks, ranks, channel, requests, written, counters, log, c, cycle
            )  # fmt: skip
            if index == NOTHING:
                continue
            begin = cycle + (fixed[CWL] if write else fixed[CL])
            end = begin + fixed[BL]
            for memory_cycle in range(begin, end):
                ring[-1, memory_cycle & (RING - 1)] = 1
            remaining -= 1
            if _ends(scalars, transfers, ring, index, end):
                last = min(last, _note(finished, completions, transfers, index, num, den))
                completions += 1
        for _ in range(0 if full else len(channel)):
            full = True
            stream = scalars[POINTER] - 1
            for _stream in range(len(streams)):
                stream = stream + 1 if stream + 1 < len(streams) else 0
                if streams[stream, ADMITTING] == streams[stream, POSTED]:
                    continue
                if streams[stream, OUTSTANDING] >= scalars[OUTSTANDING_LIMIT]:
                    continue
                answer, index = _offer(
                    fixed, pieces, hashes, units, banks, channel, requests, written, counters, transfers, runs, streams,
                    stream, cycle,
                )  # fmt: skip
                if answer == REFUSED:
                    continue
                scalars[POINTER] = stream + 1 if stream + 1 < len(streams) else 0
                full = False
                if answer == SHORTCUT:
                    remaining -= 1
                    if _ends(scalars, transfers, ring, index, cycle + 1):
                        last = min(last, _note(finished, completions, transfers, index, num, den))
                        completions += 1
                break
            if full:
                break
        cycle += 1
    scalars[CYCLE] = cycle
    return completions, int(remaining)


@njit()
def _note(finished: Ints, at: int, transfers: Ints, index: int, num: int, den: int) -> int:
    """Record a completed transfer; the first cycle that is not before the core sees it."""
    end = transfers[index // transfers.shape[1], index % transfers.shape[1], END]
    finished[at, 0], finished[at, 1] = index, end
    visible = -(-end * num // den)
    return int(-(-visible * den // num))
