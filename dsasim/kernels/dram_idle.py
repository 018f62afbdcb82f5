"""A memory in which nothing waits: its refreshes fall due, and but for the last of them they are counted at once.

Let a channel have no request, no open row, no refresh due and no rule that still holds back a REF when its next
refreshes fall due, at cycle R. They are issued one after the other, rank by rank, at cycles R + o_1 < R + o_2 < ...; a
rank's next ones at R + nREFI + o_i, for nRFC <= nREFI, and so on: intervals differ in nothing but when they are. Every
rule a REF leaves behind is the later of what was there and cycle + latency, so of any number of REFs of a rank only the
last one tells. Hence n intervals leave the state of the last, n REFs a rank, and the next refresh n * nREFI later.
`pass_quiet` issues what comes before such a cycle R and at least one whole interval at the end, and counts the rest.

Worked example (DDR4-2400R, nREFI = 9364, two ranks, one read long ago): up to cycle 100,000 there are REFs at 9364 and
9365, 18728 and 18729, ..., 93640 and 93641, of which those of 18728 to 74912 are counted, 7 intervals, and those at
84276 and 93640 issued.
"""

from dsasim.kernels.dram_channel import tick
from dsasim.kernels.dram_commands import NEXT_TRY, OPEN, REFRESH_AT, REFRESH_DUE, REFRESHED, REFRESHES
from dsasim.kernels.dram_timing import IN_RANK, RANKS, REF, REFI, STACKS, Ints
from dsasim.kernels.jit import njit


@njit(forceinline=True)
def _is_steady(fixed: Ints, latencies: Ints, units: Ints, channel: Ints, c: int) -> bool:
    """Whether all of a quiet channel's intervals from its next refreshes on are alike."""
    if channel[c, NEXT_TRY] != channel[c, REFRESH_AT] or channel[c, REFRESH_DUE] > 0 or channel[c, OPEN] > 0:
        return False
    # a REF takes a cycle, or two where it must be an odd one
    if 2 * fixed[RANKS] >= fixed[REFI] or latencies[REF, IN_RANK, REF] > fixed[REFI]:
        return False
    for rank in range(c * fixed[RANKS], (c + 1) * fixed[RANKS]):
        if units[rank * fixed[STACKS], REF] > channel[c, REFRESH_AT]:
            return False
    return True


@njit(forceinline=True)
def _skip(fixed: Ints, channel: Ints, counters: Ints, log: Ints, c: int, intervals: int) -> None:
    """Count the refreshes of so many intervals."""
    refreshes = intervals * fixed[RANKS]
    counters[c, REFRESHES] += refreshes
    channel[c, REFRESHED] += refreshes
    channel[c, REFRESH_AT] += intervals * fixed[REFI]
    channel[c, NEXT_TRY] = channel[c, REFRESH_AT]
    if len(log) > 0:
        log[0, 0] += refreshes


@njit()
def pass_quiet(
    fixed: Ints, latencies: Ints, units: Ints, banks: Ints, ranks: Ints, channel: Ints, requests: Ints, written: Ints,
    counters: Ints, log: Ints, cycle: int,
) -> None:  # fmt: skip
    """Let the cycles before `cycle` pass in all channels, none of which has a request; a log is filled before any skip.

    Work is bounded whatever `cycle` is: that of a few intervals a channel, or of as many as the log has space for.
    """
    for c in range(len(channel)):
        while channel[c, NEXT_TRY] < cycle:
            intervals = (cycle - channel[c, REFRESH_AT]) // max(1, fixed[REFI]) - 1
            if intervals > 0 and log_is_full(log) and _is_steady(fixed, latencies, units, channel, c):
                _skip(fixed, channel, counters, log, c, intervals)
            at = channel[c, NEXT_TRY]
            tick(fixed, latencies, units, banks, ranks, channel, requests, written, counters, log, c, at)


@njit(forceinline=True)
def log_is_full(log: Ints) -> bool:
    """Whether no further command would be written down."""
    return bool(len(log) == 0 or log[0, 0] + 1 >= len(log))
