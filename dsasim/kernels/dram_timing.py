"""When DRAM commands are legal: JEDEC timing constraints of one rank a channel, open page.

Per command, in memory clock cycles, after the JEDEC rules as Ramulator 2.1 writes them (python/ramulator/dram/ddr4.py,
MIT): same bank ACT→ACT nRC, ACT→RD/WR nRCD, ACT→PRE nRAS, PRE→ACT nRP, RD→PRE nRTP, WR→PRE nCWL + nBL + nWR; same bank
group nRRD_L, nCCD_L, WR→RD nCWL + nBL + nWTR_L; same rank nRRD_S, nCCD_S, WR→RD nCWL + nBL + nWTR_S,
RD→WR nCL + nBL + 2 - nCWL; at most four ACTs in any nFAW.

Worked example (DDR4-2400R): ACT at edge 1 makes its RD legal at 1 + nRCD = 17 and not at 16; a PRE at 1 + nRAS = 40.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

NAMES = (
    ("nBL", "nCL", "nRCD", "nRP", "nRAS", "nRC", "nWR", "nRTP", "nCWL")
    + ("nCCDS", "nCCDL", "nWTRS", "nWTRL", "nRRDS", "nRRDL", "nFAW")
)  # fmt: skip
"""Order of the timing parameters in `BankState.timing`, as named in the preset file."""
BL, CL, RCD, RP, RAS, RC, WR, RTP, CWL, CCDS, CCDL, WTRS, WTRL, RRDS, RRDL, FAW = range(16)

CLOSED = -1
# earliest edges kept per bank, bank group and channel
ACT, PRE, RD, WRITE = 0, 1, 2, 3


class BankState(NamedTuple):
    """Timing state of all channels; banks and bank groups are numbered through all channels."""

    timing: NDArray[np.int64]  # [16], in the order of NAMES
    groups_per_channel: int
    banks_per_group: int
    open_row: NDArray[np.int64]  # [banks], CLOSED if none
    bank: NDArray[np.int64]  # [banks, 4]: earliest ACT, PRE, RD, WR
    group: NDArray[np.int64]  # [bank groups, 4]
    channel: NDArray[np.int64]  # [channels, 4]
    recent: NDArray[np.int64]  # [channels, 4]: edges from which the last four ACTs no longer count, oldest first


@njit(cache=True)
def _earliest(state: BankState, bank: int, command: int) -> int:
    group = bank // state.banks_per_group
    channel = group // state.groups_per_channel
    return max(state.bank[bank, command], state.group[group, command], state.channel[channel, command])


@njit(cache=True)
def column_ready(state: BankState, bank: int, write: int) -> int:
    """First edge at which the open row of `bank` may be read (`write` = 0) or written (1)."""
    return _earliest(state, bank, RD + write)


@njit(cache=True)
def activate_ready(state: BankState, bank: int) -> int:
    """First edge at which the closed `bank` may be activated."""
    channel = bank // state.banks_per_group // state.groups_per_channel
    return max(_earliest(state, bank, ACT), state.recent[channel, 0])


@njit(cache=True)
def precharge_ready(state: BankState, bank: int) -> int:
    """First edge at which the open `bank` may be precharged."""
    return _earliest(state, bank, PRE)


@njit(cache=True)
def _hold(row: NDArray[np.int64], command: int, edge: int) -> None:
    row[command] = max(row[command], edge)


@njit(cache=True)
def activate(state: BankState, bank: int, row: int, edge: int) -> None:
    """Open `row` of `bank` at `edge`."""
    t = state.timing
    group = bank // state.banks_per_group
    channel = group // state.groups_per_channel
    state.open_row[bank] = row
    _hold(state.bank[bank], ACT, edge + t[RC])
    _hold(state.bank[bank], PRE, edge + t[RAS])
    _hold(state.bank[bank], RD, edge + t[RCD])
    _hold(state.bank[bank], WRITE, edge + t[RCD])
    _hold(state.group[group], ACT, edge + t[RRDL])
    _hold(state.channel[channel], ACT, edge + t[RRDS])
    state.recent[channel, :3] = state.recent[channel, 1:]
    state.recent[channel, 3] = edge + t[FAW]


@njit(cache=True)
def precharge(state: BankState, bank: int, edge: int) -> None:
    """Close `bank` at `edge`."""
    state.open_row[bank] = CLOSED
    _hold(state.bank[bank], ACT, edge + state.timing[RP])


@njit(cache=True)
def column(state: BankState, bank: int, write: int, edge: int) -> None:
    """Read (`write` = 0) or write (1) a burst of the open row of `bank` at `edge`."""
    t = state.timing
    group = bank // state.banks_per_group
    channel = group // state.groups_per_channel
    _hold(state.group[group], RD + write, edge + t[CCDL])
    _hold(state.channel[channel], RD + write, edge + t[CCDS])
    if write:
        data_end = edge + t[CWL] + t[BL]
        _hold(state.bank[bank], PRE, data_end + t[WR])
        _hold(state.group[group], RD, data_end + t[WTRL])
        _hold(state.channel[channel], RD, data_end + t[WTRS])
    else:
        _hold(state.bank[bank], PRE, edge + t[RTP])
        _hold(state.channel[channel], WRITE, edge + t[CL] + t[BL] + 2 - t[CWL])
