"""When commands become legal: the worked example, and each constraint at its edge and one before."""

import pytest

from dsasim.kernels import dram_timing as timing
from dsasim.kernels.dram_timing import ACT, PRE, PRE_ALL, RD, REF, WR
from dsasim.model.dram_memory import MemoryUse, new_memory
from dsasim.model.dram_preset import load_presets

DDR4_2400 = load_presets()["DDR4_2400"]
T = DDR4_2400.timing_cycles
HERE, SAME_GROUP, OTHER_GROUP, OTHER_RANK = 0, 1, 4, 16
"""Banks."""


class Memory:
    """One channel of two ranks of 4 x 4 banks, all closed, and the first cycle at which a command is legal."""

    def __init__(self, preset: str = "DDR4_2400", ranks: int = 2) -> None:
        self.state = new_memory(load_presets()[preset], MemoryUse("row-bank-bankgroup-rank-column", 1, ranks))

    def issue(self, command: int, bank: int, cycle: int) -> None:
        m = self.state
        timing.obey(m.fixed, m.latencies, m.units, m.banks, 0, bank, command, cycle)
        if command == ACT:
            timing.count_activate(m.fixed, m.units, m.ranks, bank, cycle)

    def first(self, command: int, bank: int) -> int:
        if command in (PRE_ALL, REF):
            return int(self.state.units[bank // 16, command])
        return int(timing.earliest(self.state.fixed, self.state.units, self.state.banks, bank, command))


def test_worked_example() -> None:
    """ACT at cycle 1: RD legal at 17 and not at 16, PRE at 40."""
    memory = Memory()
    memory.issue(ACT, HERE, 1)
    assert memory.first(RD, HERE) == 17
    assert memory.first(PRE, HERE) == 40


WRITTEN = T["nCWL"] + T["nBL"]


@pytest.mark.parametrize(
    ("command", "then", "bank", "distance"),
    [
        (ACT, ACT, HERE, T["nRC"]),
        (ACT, ACT, SAME_GROUP, T["nRRDL"]),
        (ACT, ACT, OTHER_GROUP, T["nRRDS"]),
        (ACT, ACT, OTHER_RANK, -100),
        (ACT, PRE_ALL, HERE, T["nRAS"]),
        (ACT, REF, HERE, T["nRC"]),
        (PRE, ACT, HERE, T["nRP"]),
        (PRE, REF, HERE, T["nRP"]),
        (PRE_ALL, ACT, OTHER_GROUP, T["nRP"]),
        (REF, ACT, OTHER_GROUP, T["nRFC"]),
        (REF, ACT, OTHER_RANK, -100),
        (RD, RD, SAME_GROUP, T["nCCDL"]),
        (RD, RD, OTHER_GROUP, T["nCCDS"]),
        (RD, RD, OTHER_RANK, T["nBL"] + T["nCS"]),
        (RD, WR, OTHER_GROUP, T["nCL"] + T["nBL"] + 2 - T["nCWL"]),
        (RD, WR, OTHER_RANK, T["nBL"] + T["nCS"]),
        (RD, PRE, HERE, T["nRTP"]),
        (WR, WR, SAME_GROUP, T["nCCDL"]),
        (WR, WR, OTHER_GROUP, T["nCCDS"]),
        (WR, WR, OTHER_RANK, T["nBL"]),
        (WR, RD, SAME_GROUP, WRITTEN + T["nWTRL"]),
        (WR, RD, OTHER_GROUP, WRITTEN + T["nWTRS"]),
        (WR, RD, OTHER_RANK, T["nCWL"] + T["nBL"] + T["nCS"] - T["nCL"]),
        (WR, PRE, HERE, WRITTEN + T["nWR"]),
    ],
)
def test_distances_of_ddr4(command: int, then: int, bank: int, distance: int) -> None:
    memory = Memory()
    memory.issue(command, HERE, 100)
    assert memory.first(then, bank) == 100 + distance


def test_a_fifth_activate_waits_for_the_window_of_four() -> None:
    """ACTs every nRRD_S = 4: the fifth is legal 26 after the first, not 16."""
    memory = Memory()
    for group in range(4):
        memory.issue(ACT, 4 * group, 4 * group)
    assert memory.first(ACT, SAME_GROUP) == T["nFAW"]
    assert memory.first(ACT, OTHER_RANK) == 0


def test_a_command_of_two_cycles_counts_from_its_last() -> None:
    """HBM2, ACT takes two: RD nRCDRD + 1 = 15 after it, ACT nRP - 1 = 13 after a PRE, and no row command at once."""
    memory = Memory("HBM2", ranks=1)
    memory.issue(ACT, HERE, 100)
    assert memory.first(RD, HERE) == 115
    assert memory.first(PRE, OTHER_RANK) == 102
    memory = Memory("HBM2", ranks=1)
    memory.issue(PRE, HERE, 100)
    assert memory.first(ACT, HERE) == 113


def test_stacks_of_hbm3_keep_their_distance() -> None:
    """Reads of the other SID follow after nCCDR = 3 cycles = 6 ticks, of the other pseudo-channel after the bus's 2."""
    memory = Memory("HBM3", ranks=1)
    memory.issue(RD, HERE, 100)
    assert memory.first(RD, 16) == 106
    assert memory.first(RD, 32) == 102


def test_a_later_command_never_makes_another_legal_earlier() -> None:
    memory = Memory()
    memory.issue(WR, HERE, 200)
    memory.issue(RD, HERE, 201)
    assert memory.first(PRE, HERE) == 200 + WRITTEN + T["nWR"]
