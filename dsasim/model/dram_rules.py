"""The JEDEC constraints that a preset obeys, as the table of the controller kernel (`kernels.dram_timing`).

Written after the JEDEC rules as Ramulator 2.1 lists them (CMU-SAFARI/ramulator2, commit c5b1c3a478b6, MIT: the expanded
configurations of its DDR4, LPDDR5, HBM2 and HBM3; a test compares them one by one). In words, with "rank" for the
pseudo-channel of HBM:

    same bank    ACT→ACT nRC, ACT→RD nRCDRD, ACT→WR nRCDWR, ACT→PRE nRAS, PRE→ACT nRP, RD→PRE nRTP,
                 WR→PRE nCWL + nBL + nWR; with a closed page RD→ACT nRTP + nRP, WR→ACT nCWL + nBL + nWR + nRP
    same group   ACT→ACT nRRDL, RD→RD and WR→WR nCCDL, WR→RD nCWL + nBL + nWTRL (LPDDR5: nBL_max)
    same rank    ACT→ACT nRRDS, RD→RD and WR→WR nCCDS, WR→RD nCWL + nBL + nWTRS, RD→WR nRTW;
                 PRE_ALL as PRE of every bank, then ACT after nRPab; PRE→PRE nPPD; ACT→REF nRC, PRE→REF nRP,
                 REF→ACT and REF→PRE_ALL nRFC
    other ranks  RD→RD and RD→WR nBL + nCS, WR→RD nCWL + nBL + nCS - nCL (one data bus);
    other stacks RD→RD nCCDR (HBM3)
    channel      RD→RD and WR→WR nBL (one data bus for all ranks, not of pseudo-channels); a command that occupies its
                 bus for n ticks holds the next one back for n

A command of n ticks counts from its last: between two commands the distance is latency + (n of the first - 1) - (n of
the second - 1). HBM2: ACT takes 2, so ACT→RD is nRCDRD + 1 = 15 and PRE→ACT nRP - 1 = 13.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.dram_timing import (
    ACT,
    COMMANDS,
    IN_BANK,
    IN_GROUP,
    IN_OTHER_RANKS,
    IN_OTHER_STACKS,
    IN_RANK,
    LONG_AGO,
    PRE,
    PRE_ALL,
    RD,
    REF,
    SCOPES,
    WR,
)

ROW_COMMANDS, COLUMN_COMMANDS = (ACT, PRE, PRE_ALL, REF), (RD, WR)
TimingRule = tuple[int, int, int, int]
"""Scope, preceding command, following command, latency in ticks."""


def constraints(
    t: Mapping[str, int], command_ticks: Mapping[int, int], *, closed_page: bool = False
) -> list[TimingRule]:
    """All rules but nFAW for the timings `t` in ticks; `command_ticks` of the commands that occupy a bus longer."""
    written = t["nCWL"] + t["nBL"]
    rules = _bank(t, written, closed_page) + _group(t) + _rank(t, written, closed_page)
    rules += _others(t)
    extra = {command: command_ticks.get(command, 1) - 1 for command in range(COMMANDS)}
    rules = [(scope, first, then, latency + extra[first] - extra[then]) for scope, first, then, latency in rules]
    return rules + _buses(command_ticks)


def table(rules: list[TimingRule]) -> NDArray[np.int64]:
    """The kernel's latencies [COMMANDS, SCOPES, COMMANDS]; of rules alike but for latency the longest."""
    latencies = np.full((COMMANDS, SCOPES, COMMANDS), LONG_AGO, np.int64)
    for scope, first, then, latency in rules:
        latencies[first, scope, then] = max(latency, latencies[first, scope, then])
    return latencies


def _bank(t: Mapping[str, int], written: int, closed_page: bool) -> list[TimingRule]:
    rules = [
        (IN_BANK, ACT, ACT, t["nRC"]),
        (IN_BANK, ACT, RD, t.get("nRCDRD", t.get("nRCD", 0))),
        (IN_BANK, ACT, WR, t.get("nRCDWR", t.get("nRCD", 0))),
        (IN_BANK, ACT, PRE, t["nRAS"]),
        (IN_BANK, PRE, ACT, t["nRP"]),
    ]
    if closed_page:
        return rules + [(IN_BANK, RD, ACT, t["nRTP"] + t["nRP"]), (IN_BANK, WR, ACT, written + t["nWR"] + t["nRP"])]
    return rules + [(IN_BANK, RD, PRE, t["nRTP"]), (IN_BANK, WR, PRE, written + t["nWR"])]


def _group(t: Mapping[str, int]) -> list[TimingRule]:
    return [
        (IN_GROUP, ACT, ACT, t["nRRDL"]),
        (IN_GROUP, RD, RD, t["nCCDL"]),
        (IN_GROUP, WR, WR, t["nCCDL"]),
        (IN_GROUP, WR, RD, t["nCWL"] + t.get("nBL_max", t["nBL"]) + t["nWTRL"]),
    ]


def _rank(t: Mapping[str, int], written: int, closed_page: bool) -> list[TimingRule]:
    precharges = [(PRE, PRE), (PRE, PRE_ALL), (PRE_ALL, PRE), (PRE_ALL, PRE_ALL)] if "nPPD" in t else []
    after_data = [(RD, t["nRTP"]), (WR, written + t["nWR"])]
    return [
        (IN_RANK, ACT, ACT, t["nRRDS"]),
        (IN_RANK, RD, RD, t["nCCDS"]),
        (IN_RANK, WR, WR, t["nCCDS"]),
        (IN_RANK, WR, RD, written + t["nWTRS"]),
        (IN_RANK, RD, WR, t["nRTW"]),
        (IN_RANK, ACT, PRE_ALL, t["nRAS"]),
        (IN_RANK, PRE_ALL, ACT, t.get("nRPab", t["nRP"])),
        (IN_RANK, ACT, REF, t["nRC"]),
        (IN_RANK, PRE, REF, t["nRP"]),
        (IN_RANK, PRE_ALL, REF, t["nRP"]),
        (IN_RANK, REF, ACT, t["nRFC"]),
        (IN_RANK, REF, PRE_ALL, t["nRFC"]),
        (IN_RANK, REF, REF, t["nRFC"]),
        *((IN_RANK, first, then, t["nPPD"]) for first, then in precharges),
        *((IN_RANK, first, PRE_ALL, latency) for first, latency in after_data if not closed_page),
        *((IN_RANK, first, REF, latency + t["nRP"]) for first, latency in after_data if closed_page),
    ]


def _others(t: Mapping[str, int]) -> list[TimingRule]:
    rules = []
    if "nCS" in t:
        rules += [
            (IN_OTHER_RANKS, RD, RD, t["nBL"] + t["nCS"]),
            (IN_OTHER_RANKS, RD, WR, t["nBL"] + t["nCS"]),
            (IN_OTHER_RANKS, WR, RD, t["nCWL"] + t["nBL"] + t["nCS"] - t["nCL"]),
            (IN_RANK, RD, RD, t["nBL"]),
            (IN_OTHER_RANKS, RD, RD, t["nBL"]),
            (IN_RANK, WR, WR, t["nBL"]),
            (IN_OTHER_RANKS, WR, WR, t["nBL"]),
        ]
    if "nCCDR" in t:
        rules += [(IN_OTHER_STACKS, RD, RD, t["nCCDR"])]
    return rules


def _buses(command_ticks: Mapping[int, int]) -> list[TimingRule]:
    return [
        (scope, first, then, ticks)
        for scope in (IN_RANK, IN_OTHER_RANKS)
        for first, ticks in command_ticks.items()
        for then in (ROW_COMMANDS if first in ROW_COMMANDS else COLUMN_COMMANDS)
    ]
