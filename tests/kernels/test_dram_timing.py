"""When commands become legal: the worked example, and each constraint at its edge and one before."""

import numpy as np
import pytest

from dsasim.kernels import dram_timing as timing
from dsasim.kernels.dram_timing import ACT, CLOSED, OPEN_ROW, PRE, RD, WRITE
from dsasim.model.dram_preset import load_presets

DDR4_2400 = load_presets()["DDR4_2400"]
T = DDR4_2400.timing_cycles
HERE, SAME_GROUP, OTHER_GROUP = (0, 0, 0), (0, 0, 1), (0, 1, 4)
"""(channel, bank group, bank)."""


class Rank:
    """One channel of 4 x 4 banks, all closed, and the first edge at which a command is legal."""

    def __init__(self) -> None:
        self.times = DDR4_2400.timing()
        self.bank = np.zeros((16, 5), np.int64)
        self.bank[:, OPEN_ROW] = CLOSED
        self.group = np.zeros((4, 4), np.int64)
        self.channel = np.zeros((1, 8), np.int64)

    def activate(self, at: tuple[int, int, int], edge: int) -> None:
        timing.activate(self.times, self.bank, self.group, self.channel, at, 7, edge)

    def precharge(self, at: tuple[int, int, int], edge: int) -> None:
        timing.precharge(self.times, self.bank, at, edge)

    def column(self, at: tuple[int, int, int], write: int, edge: int) -> None:
        timing.column(self.times, self.bank, self.group, self.channel, at, write, edge)

    def first(self, command: int, at: tuple[int, int, int]) -> int:
        if command == ACT:
            return int(timing.earliest_activate(self.bank, self.group, self.channel, at))
        return int(timing.earliest(self.bank, self.group, self.channel, at, command))


def test_worked_example() -> None:
    """ACT at edge 1: RD legal at 17 and not at 16, PRE at 40."""
    rank = Rank()
    rank.activate(HERE, 1)
    assert rank.bank[0, OPEN_ROW] == 7
    assert rank.first(RD, HERE) == 17
    assert rank.first(PRE, HERE) == 40


@pytest.mark.parametrize(("at", "distance"), [(HERE, T["nRC"]), (SAME_GROUP, T["nRRDL"]), (OTHER_GROUP, T["nRRDS"])])
def test_activate_after_activate(at: tuple[int, int, int], distance: int) -> None:
    rank = Rank()
    rank.activate(HERE, 10)
    assert rank.first(ACT, at) == 10 + distance


def test_a_fifth_activate_waits_for_the_window_of_four() -> None:
    """ACTs every nRRD_S = 4: the fifth is legal 26 after the first, not 16."""
    rank = Rank()
    for group in range(4):
        rank.activate((0, group, 4 * group), 4 * group)
    assert rank.first(ACT, (0, 0, 1)) == T["nFAW"]


def test_activate_after_precharge() -> None:
    rank = Rank()
    rank.activate(HERE, 0)
    rank.precharge(HERE, 100)
    assert rank.bank[0, OPEN_ROW] == CLOSED
    assert rank.first(ACT, HERE) == 100 + T["nRP"]


@pytest.mark.parametrize(
    ("command", "at", "distance"),
    [
        (RD, SAME_GROUP, T["nCCDL"]),
        (RD, OTHER_GROUP, T["nCCDS"]),
        (WRITE, OTHER_GROUP, T["nCL"] + T["nBL"] + 2 - T["nCWL"]),
        (PRE, HERE, T["nRTP"]),
    ],
)
def test_after_a_read(command: int, at: tuple[int, int, int], distance: int) -> None:
    rank = Rank()
    rank.column(HERE, 0, 200)
    assert rank.first(command, at) == 200 + distance


@pytest.mark.parametrize(
    ("command", "at", "distance"),
    [
        (WRITE, SAME_GROUP, T["nCCDL"]),
        (WRITE, OTHER_GROUP, T["nCCDS"]),
        (RD, SAME_GROUP, T["nCWL"] + T["nBL"] + T["nWTRL"]),
        (RD, OTHER_GROUP, T["nCWL"] + T["nBL"] + T["nWTRS"]),
        (PRE, HERE, T["nCWL"] + T["nBL"] + T["nWR"]),
    ],
)
def test_after_a_write(command: int, at: tuple[int, int, int], distance: int) -> None:
    rank = Rank()
    rank.column(HERE, 1, 200)
    assert rank.first(command, at) == 200 + distance


def test_a_later_command_never_makes_another_legal_earlier() -> None:
    rank = Rank()
    rank.column(HERE, 1, 200)
    rank.column(HERE, 0, 201)
    assert rank.first(PRE, HERE) == 200 + T["nCWL"] + T["nBL"] + T["nWR"]
