"""When DRAM commands are legal: JEDEC timing constraints of one rank a channel, open page.

Per command, in memory clock cycles, after the JEDEC rules as Ramulator 2.1 writes them (python/ramulator/dram/ddr4.py,
MIT): same bank ACT→ACT nRC, ACT→RD/WR nRCD, ACT→PRE nRAS, PRE→ACT nRP, RD→PRE nRTP, WR→PRE nCWL + nBL + nWR; same bank
group nRRD_L, nCCD_L, WR→RD nCWL + nBL + nWTR_L; same rank nRRD_S, nCCD_S, WR→RD nCWL + nBL + nWTR_S,
RD→WR nCL + nBL + 2 - nCWL; at most four ACTs in any nFAW.

Worked example (DDR4-2400R): ACT at edge 1 makes its RD legal at 1 + nRCD = 17 and not at 16; a PRE at 1 + nRAS = 40.

State, int64, numbered through all channels:

    bank    [banks, 5]          earliest ACT, PRE, RD, WR, and the open row (CLOSED if none)
    group   [bank groups, 4]    earliest ACT, -, RD, WR
    channel [channels, ≥ 8]     earliest ACT, -, RD, WR; edges at which the last four ACTs leave nFAW, oldest first
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

NAMES = (
    ("nBL", "nCL", "nRCD", "nRP", "nRAS", "nRC", "nWR", "nRTP", "nCWL")
    + ("nCCDS", "nCCDL", "nWTRS", "nWTRL", "nRRDS", "nRRDL", "nFAW")
)  # fmt: skip
"""Order of the timing parameters in the kernel's `timing` array, as named in the preset file."""
BL, CL, RCD, RP, RAS, RC, WR, RTP, CWL, CCDS, CCDL, WTRS, WTRL, RRDS, RRDL, FAW = range(16)

CLOSED = -1
ACT, PRE, RD, WRITE, OPEN_ROW = 0, 1, 2, 3, 4
FAW_FIRST, FAW_LAST = 4, 7

Ints = NDArray[np.int64]


@njit(cache=True)
def earliest(bank: Ints, group: Ints, channel: Ints, at: tuple[int, int, int], command: int) -> int:
    """First edge at which `command` (PRE, RD or WRITE) is legal; `at` is (channel, bank group, bank)."""
    return int(max(bank[at[2], command], group[at[1], command], channel[at[0], command]))


@njit(cache=True)
def earliest_activate(bank: Ints, group: Ints, channel: Ints, at: tuple[int, int, int]) -> int:
    """First edge at which the closed bank may be activated."""
    return int(max(earliest(bank, group, channel, at, ACT), channel[at[0], FAW_FIRST]))


@njit(cache=True)
def _hold(table: Ints, row: int, command: int, edge: int) -> None:
    table[row, command] = max(table[row, command], edge)


@njit(cache=True)
def activate(
    timing: Ints, bank: Ints, group: Ints, channel: Ints, at: tuple[int, int, int], row: int, edge: int
) -> None:
    """Open `row` at `edge`."""
    bank[at[2], OPEN_ROW] = row
    _hold(bank, at[2], ACT, edge + timing[RC])
    _hold(bank, at[2], PRE, edge + timing[RAS])
    _hold(bank, at[2], RD, edge + timing[RCD])
    _hold(bank, at[2], WRITE, edge + timing[RCD])
    _hold(group, at[1], ACT, edge + timing[RRDL])
    _hold(channel, at[0], ACT, edge + timing[RRDS])
    for older in range(FAW_FIRST, FAW_LAST):
        channel[at[0], older] = channel[at[0], older + 1]
    channel[at[0], FAW_LAST] = edge + timing[FAW]


@njit(cache=True)
def precharge(timing: Ints, bank: Ints, at: tuple[int, int, int], edge: int) -> None:
    """Close the bank at `edge`."""
    bank[at[2], OPEN_ROW] = CLOSED
    _hold(bank, at[2], ACT, edge + timing[RP])


@njit(cache=True)
def column(
    timing: Ints, bank: Ints, group: Ints, channel: Ints, at: tuple[int, int, int], write: int, edge: int
) -> None:
    """Read (`write` = 0) or write (1) a burst of the open row at `edge`."""
    _hold(group, at[1], RD + write, edge + timing[CCDL])
    _hold(channel, at[0], RD + write, edge + timing[CCDS])
    if write:
        data_end = edge + timing[CWL] + timing[BL]
        _hold(bank, at[2], PRE, data_end + timing[WR])
        _hold(group, at[1], RD, data_end + timing[WTRL])
        _hold(channel, at[0], RD, data_end + timing[WTRS])
    else:
        _hold(bank, at[2], PRE, edge + timing[RTP])
        _hold(channel, at[0], WRITE, edge + timing[CL] + timing[BL] + 2 - timing[CWL])
