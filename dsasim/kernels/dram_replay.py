"""Replay of a request trace: an unlimited source in front of the controller, as golden/dram drives the references.

Before each cycle up to W requests are offered in trace order, each not before its cycle; the first that its channel
refuses is offered again before the next cycle (head-of-line blocking). So in cycle m commands come first, then what is
accepted in m, for cycle m + 1 on; the first cycle with commands is 1, in read mode. A read's latency runs from its
acceptance to the end of its data.

Only cycles at which something can happen are visited: a channel's NEXT_TRY, and the next acceptance. While nothing is
queued, `dram_idle` passes the time up to that.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.borrow import borrow
from dsasim.kernels.dram import MemoryState
from dsasim.kernels.dram_channel import REFUSED, SHORTCUT, admit, tick
from dsasim.kernels.dram_commands import NEXT_TRY
from dsasim.kernels.dram_idle import pass_quiet
from dsasim.kernels.dram_mapping import locate
from dsasim.kernels.dram_queue import NEVER
from dsasim.kernels.dram_timing import BL, CL, CWL, NOTHING
from dsasim.kernels.jit import njit

# scalars: the cycle and how many requests it has taken, queued requests, end of the last read and of the last data, sum
# of read latencies
CYCLE, TAKEN, QUEUED, LAST_READ, LAST_DATA, LATENCY, SCALARS = range(7)
BINS = 48
"""Of the latency histogram: bin b counts reads of 2**b to 2**(b+1) - 1 cycles."""

Ints = NDArray[np.int64]


@njit()
def _log2(value: int) -> int:
    bits = 0
    while value > 1:
        value >>= 1
        bits += 1
    return bits


@njit()
def replay(
    memory: MemoryState, scalars: Ints, histogram: Ints, bursts: Ints, writes: NDArray[np.uint8], not_before: Ints,
    per_cycle: int, last_part: bool,
) -> None:  # fmt: skip
    """Take the next requests [n] of a trace, and finish all of them if they are its `last_part`.

    `bursts` are addresses / access bytes. `scalars` [SCALARS] and `histogram` [BINS] carry over between parts, which
    may be cut anywhere.
    """
    fixed, latencies = borrow(memory.fixed), borrow(memory.latencies)
    units, banks, ranks, channel = (
        borrow(memory.units),
        borrow(memory.banks),
        borrow(memory.ranks),
        borrow(memory.channel),
    )
    requests, written = borrow(memory.requests), borrow(memory.written)
    counters, log = borrow(memory.counters), borrow(memory.log)
    pieces, hashes = borrow(memory.pieces), borrow(memory.hashes)
    cycle, at = scalars[CYCLE], 0
    c, bank, row = 0, 0, 0
    located = NOTHING
    soonest = np.min(channel[:, NEXT_TRY])
    while True:
        blocked = NEVER
        while at < len(bursts):
            if scalars[TAKEN] == per_cycle:
                blocked = max(cycle + 1, not_before[at])
                break
            if not_before[at] > cycle:
                blocked = not_before[at]
                break
            if located != at:
                c, bank, row = locate(fixed, pieces, hashes, bursts[at])
                located = at
            write = int(writes[at])
            answer = admit(
                fixed, units, banks, channel, requests, written, counters, c, bank, row, write, at, bursts[at], cycle
            )  # fmt: skip
            if answer == REFUSED:
                break
            soonest = min(soonest, channel[c, NEXT_TRY])
            if answer == SHORTCUT:
                if write == 0:
                    scalars[LAST_READ] = max(scalars[LAST_READ], cycle + 1)
                    scalars[LATENCY] += 1
                    histogram[0] += 1
            else:
                scalars[QUEUED] += 1
            scalars[TAKEN] += 1
            at += 1
        if at == len(bursts) and (not last_part or scalars[QUEUED] == 0):
            break
        if scalars[QUEUED] == 0 and soonest < blocked:
            pass_quiet(fixed, latencies, units, banks, ranks, channel, requests, written, counters, log, blocked)
            soonest = np.min(channel[:, NEXT_TRY])
        cycle = max(cycle + 1, min(blocked, soonest))
        scalars[TAKEN] = 0
        soonest = NEVER
        for other in range(len(channel)):
            if cycle < channel[other, NEXT_TRY]:
                soonest = min(soonest, channel[other, NEXT_TRY])
                continue
            tag, write, arrived = tick(
                fixed, latencies, units, banks, ranks, channel, requests, written, counters, log, other, cycle
            )  # fmt: skip
            soonest = min(soonest, channel[other, NEXT_TRY])
            if tag == NOTHING:
                continue
            scalars[QUEUED] -= 1
            end = cycle + fixed[BL] + (fixed[CWL] if write else fixed[CL])
            scalars[LAST_DATA] = max(scalars[LAST_DATA], end)
            if write == 0:
                scalars[LAST_READ] = max(scalars[LAST_READ], end)
                scalars[LATENCY] += end - arrived
                histogram[_log2(end - arrived)] += 1
    scalars[CYCLE] = cycle
