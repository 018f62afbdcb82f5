"""Transfers of adjacent bytes, as runs of aligned bursts; a burst that the run before has just moved is left out."""

import numpy as np

from dsasim.kernels.dram import (
    LEFT_IN_RUN,
    NEXT,
    POSTED,
    UNADMITTED,
    UNISSUED,
    WRITES_DATA,
    Ints,
)
from dsasim.kernels.jit import njit


@njit(forceinline=True)
def _run(starts: Ints, sizes: Ints, at: int, access_bytes: int) -> tuple[int, int]:
    """First burst and number of bursts of run `at`."""
    first = starts[at] // access_bytes
    end = (starts[at] + sizes[at] - 1) // access_bytes + 1
    if at > 0 and (starts[at - 1] + sizes[at - 1] - 1) // access_bytes == first:
        first += 1
    return first, end - first


@njit()
def burst_runs(starts: Ints, sizes: Ints, access_bytes: int) -> Ints:
    """First burst and number of bursts [runs, 2] of each run of `sizes` [runs] >= 1 bytes from `starts` [runs]."""
    runs = np.empty((len(starts), 2), np.int64)
    for at in range(len(starts)):
        runs[at, 0], runs[at, 1] = _run(starts, sizes, at, access_bytes)
    return runs


@njit()
def num_bursts(starts: Ints, sizes: Ints, access_bytes: int) -> int:
    """Bursts of all runs."""
    bursts = 0
    for at in range(len(starts)):
        bursts += _run(starts, sizes, at, access_bytes)[1]
    return bursts


@njit()
def enqueue(
    transfers: Ints, runs: Ints, streams: Ints, stream: int, write: int, starts: Ints, sizes: Ints, access_bytes: int
) -> int:
    """Make a transfer the stream's next (`kernels.dram`), and return its index; `runs` has space for its runs."""
    slot = streams[stream, POSTED] % transfers.shape[1]
    index = stream * transfers.shape[1] + slot
    count = bursts = 0
    for at in range(len(starts)):
        first, number = _run(starts, sizes, at, access_bytes)
        if number > 0:
            runs[index, count, 0], runs[index, count, 1] = first, number
            count += 1
            bursts += number
    transfers[stream, slot] = 0
    transfers[stream, slot, WRITES_DATA] = write
    transfers[stream, slot, NEXT], transfers[stream, slot, LEFT_IN_RUN] = runs[index, 0, 0], runs[index, 0, 1]
    transfers[stream, slot, UNADMITTED] = transfers[stream, slot, UNISSUED] = bursts
    streams[stream, POSTED] += 1
    return int(index)
