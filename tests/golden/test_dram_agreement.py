"""Cycles, latencies and row counts of Ramulator 2.1 on 59 traces (provenance: tests/golden/dram/README.md).

`pytest -s tests/golden/test_dram_agreement.py` prints the table.
"""

import csv
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from dram_traces import Trace, make_traces
from twin_presets import chips, distances

from dsasim.kernels.dram_timing import (
    ACT,
    IN_BANK,
    IN_GROUP,
    IN_OTHER_RANKS,
    IN_OTHER_STACKS,
    IN_RANK,
    PRE,
    PRE_ALL,
    RD,
    REF,
    WR,
)
from dsasim.model.dram_memory import MemoryUse
from dsasim.model.dram_preset import COMMANDS, load_presets
from dsasim.model.dram_replay import ReplayResult, replay_trace
from dsasim.model.dram_rules import constraints
from dsasim.trace.requests import Requests

GOLDEN = Path(__file__).parent / "dram"
ROW_ORDER = "row-bank-bankgroup-rank-column"
CONFIGS = {
    "ddr4_2400_matched_noref": ("DDR4_2400", MemoryUse(ROW_ORDER)),
    "ddr4_2400_matched": ("DDR4_2400", MemoryUse(ROW_ORDER, refresh=True)),
    "ddr4_3200_matched": ("DDR4_3200", MemoryUse(ROW_ORDER, refresh=True)),
    "ddr4_2400_mop4": ("DDR4_2400", MemoryUse("mop4", refresh=True)),
    "ddr4_3200_mop4": ("DDR4_3200", MemoryUse("mop4", refresh=True)),
    "hbm2_1ch_mop4": ("HBM2_2000", MemoryUse("mop4", refresh=True)),
    "hbm2_8ch_mop4": ("HBM2_2000", MemoryUse("mop4", channels=8, refresh=True)),
    "hbm2_8ch": ("HBM2_2000", MemoryUse(ROW_ORDER + "-channel", channels=8, refresh=True)),
    "hbm3_16ch_mop4": ("HBM3_6400", MemoryUse("mop4", channels=16, refresh=True)),
    "lpddr5_4ch_mop4": ("LPDDR5_6400", MemoryUse("mop4", channels=4, refresh=True)),
}
WRITE_TAIL = {"hbm3_16ch_mop4": 20 + 4, "lpddr5_4ch_mop4": 9 + 2}
"""nCWL + nBL: there the reference's last write ends when its command issues."""


def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a golden table."""
    with (GOLDEN / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def traces(tx: int) -> dict[str, Trace]:
    return make_traces(tx)


def replayed(config: str, row: dict[str, str]) -> ReplayResult:
    name, use = CONFIGS[config]
    preset = load_presets()[name]
    trace = traces(int(row["tx_bytes"]))[row["trace"]]
    part = Requests(
        trace.addresses // preset.access_bytes,
        trace.writes.astype(np.uint8),
        np.ascontiguousarray(trace.not_before),
        share_read=1.0,
    )
    return replay_trace(preset, use, [part], int(row["inject"]))


def test_traces_are_those_of_the_references() -> None:
    listed = {(int(row["tx_bytes"]), row["trace"]): row["sha256"] for row in rows_of("traces.csv")}
    assert {(tx, name): trace.sha256() for tx in (32, 64) for name, trace in traces(tx).items()} == listed


@pytest.mark.parametrize("config", CONFIGS)
def test_agreement(config: str) -> None:
    """Equal in every trace, but for WRITE_TAIL."""
    rows = [row for row in rows_of("references.csv") if row["config"] == config]
    assert len(rows) == (48 if "matched" in config else 35)
    print(f"\n{config:42}{'dsasim':>10}{'Ramulator':>11}{'':9}{'DRAMsim3':>10}  cycles")
    differences = []
    for row in rows:
        found, expected = replayed(config, row), int(row["cycles_drained"])
        difference = 100 * (found.cycles_drained / expected - 1)
        differences.append(abs(difference))
        other = row["dramsim3_cycles_drained"]
        print(f"  {row['trace']:40}{found.cycles_drained:10}{expected:11}{difference:+8.3f}%{other:>10}")
        last_is_write = found.cycles_drained > found.cycles_last_read
        allowance = WRITE_TAIL.get(config, 0) if last_is_write else 0
        assert found.cycles_drained == expected + allowance, row["trace"]
        assert found.avg_read_latency_cycles == pytest.approx(float(row["avg_read_latency_cycles"]), abs=1e-3)
        counts = (found.row_hits, found.row_misses, found.row_conflicts, found.commands["ref"])
        golden = tuple(int(row[key]) for key in ("row_hits", "row_misses", "row_conflicts", "refreshes"))
        assert counts == golden, row["trace"]
    print(f"  mean difference {np.mean(differences):.4f} %, largest {max(differences):.4f} %")
    assert np.mean(differences) <= 0.01


ALONE = {
    "ddr4_2400_bglow": ("DDR4_2400", MemoryUse("row-rank-bank-column-bankgroup", refresh=True), 2.7, 24.2),
    "ddr4_3200_bglow": ("DDR4_3200", MemoryUse("row-rank-bank-column-bankgroup", refresh=True), 4.1, 47.5),
    "ddr4_2400_closed": ("DDR4_2400", MemoryUse(ROW_ORDER, refresh=True, page="closed"), 8.2, 64.7),
}
"""What only DRAMsim3 ran, and how far (mean and largest, per cent) we are from it: measured, not asked for.

It queues 8 requests a bank behind 32, where Ramulator and we look at 32 in all, ends a row after 4 hits while another
is wanted, and does not serve activated requests first. A model of its rules (test_dramsim3_model.py) meets its cycles
exactly; with one queue of 32 and activated requests first its reads take ours within 0.25 to 0.54 % on average, 5 % at
most; streams of reads and writes drain by other marks (tests/DEVIATIONS.md, 21). With a closed page both
precharge after every column command (its ACTs are one a request, as ours).
"""


@pytest.mark.parametrize("config", ALONE)
def test_agreement_with_dramsim3_where_it_is_alone(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, use, mean, largest = ALONE[config]
    monkeypatch.setitem(CONFIGS, config, (name, use))
    rows = [row for row in rows_of("dramsim3_alone.csv") if row["config"] == config]
    assert len(rows) == 35
    print(f"\n{config:42}{'dsasim':>10}{'DRAMsim3':>11}")
    differences = []
    for row in rows:
        found, expected = replayed(config, row), int(row["cycles_drained"])
        differences.append(100 * (found.cycles_drained / expected - 1))
        print(f"  {row['trace']:40}{found.cycles_drained:10}{expected:11}{differences[-1]:+8.2f}%")
        if row["trace"].startswith(("probe", "load_random_gap64", "load_random_gap32", "load_random_gap16")):
            assert abs(differences[-1]) < 0.01, row["trace"]
        if use.page == "closed":
            assert found.commands["act"] == pytest.approx(int(row["act_cmds"]), rel=0.02), row["trace"]
    assert np.mean(np.abs(differences)) <= mean
    assert np.max(np.abs(differences)) <= largest


CHANNEL = (IN_RANK, IN_OTHER_RANKS)
LEVELS = {"Channel": CHANNEL, "Rank": (IN_RANK,), "PseudoChannel": (IN_RANK,), "Sid": ()}
LEVELS |= {"BankGroup": (IN_GROUP,), "Bank": (IN_BANK,)}
SIBLINGS = {"Sid": (IN_OTHER_STACKS,)}
NAMES = {"ACT": ACT, "ACT1": ACT, "PREpb": PRE, "PREab": PRE_ALL, "RD": RD, "WR": WR, "REFab": REF}
NAMES |= {"PRE": PRE, "PREA": PRE_ALL, "REF": REF}
SCOPES = {
    "channel": CHANNEL,
    "rank": (IN_RANK,),
    "group": (IN_GROUP,),
    "bank": (IN_BANK,),
    "other_rank": (IN_OTHER_RANKS,),
    "other_stack": (IN_OTHER_STACKS,),
}


def longest(rules: list[tuple[int, int, int, int]]) -> dict[tuple[int, int, int], int]:
    found: dict[tuple[int, int, int], int] = defaultdict(lambda: -1000)
    for scope, first, then, latency in rules:
        found[scope, first, then] = max(found[scope, first, then], latency)
    return dict(found)


@pytest.mark.parametrize("name", ["DDR4_2400", "LPDDR5_6400", "HBM2_2000", "HBM3_6400"])
@pytest.mark.parametrize("table", ["dsasim", "twin"])
def test_rules_are_those_of_the_reference_one_by_one(name: str, table: str) -> None:
    """Ramulator's expanded constraints, of the commands we have: in dsasim's table and in the one of its twins.

    Our REF→REF is not listed for every standard. Of stacks it also lists the nCCDS that the rank implies. Its LPDDR5
    has nCL and nCWL the other way round in WR→RD of another rank, which holds back reads for nothing.
    """
    golden = []
    for row in rows_of("constraints.csv"):
        if row["preset"] != name or row["window"] != "1":
            continue
        of_siblings = SIBLINGS.get(row["level"], (IN_OTHER_RANKS,))
        scopes = of_siblings if row["sibling"] == "True" else LEVELS[row["level"]]
        golden += [(scope, NAMES[row["first"]], NAMES[row["then"]], int(row["latency"])) for scope in scopes]
    if table == "dsasim":
        preset = load_presets()[name]
        ticks = {COMMANDS[command]: count for command, count in preset.command_ticks.items()}
        ours = longest(constraints(preset.ticks, ticks))
    else:
        rules = distances(chips(name), closed_page=False)
        ours = longest([(at, NAMES[first], NAMES[then], t) for first, then, scope, t in rules for at in SCOPES[scope]])
    ours.pop((IN_RANK, REF, REF))
    expected = longest(golden)
    expected.pop((IN_RANK, REF, REF), None)
    if name == "LPDDR5_6400":
        assert (ours.pop((IN_OTHER_RANKS, WR, RD)), expected.pop((IN_OTHER_RANKS, WR, RD))) == (-4, 12)
    assert ours == expected
