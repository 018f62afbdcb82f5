"""The memories of the slow twins, from published data alone: organisation, timings, and the distances they lead to.

Numbers: twin_presets.json, a copy from data/costs/dram_presets.json. Distances: the JEDEC standards, as Ramulator 2.1
lists them (golden/dram/configs; tests/golden/test_dram_agreement.py compares both with its list). Nothing here comes
from dsasim.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

ALIASES = {"GDDR6": "GDDR6_14000", "HBM2": "HBM2_2000", "HBM3": "HBM3_6400"}

ORGANISATION: dict[str, dict[str, Any]] = {
    "DDR4": {"bus": "one"},
    "GDDR6": {"bus": "one"},
    "LPDDR5": {"bus": "split_activate"},
    "HBM2": {"bus": "row_and_column", "pseudo_channels": 2, "long": {"ACT": 2}},
    "HBM3": {
        "bus": "row_and_column",
        "pseudo_channels": 2,
        "stacks": 2,
        "ticks_per_cycle": 2,
        "long": {"ACT": 3, "RD": 2, "WR": 2},
    },
}
"""What the standard adds: command buses, pseudo-channels, stacks; ticks of commands that take more than one. HBM3's
tick is half a clock cycle, as its row commands may begin at both edges."""

OTHER_NAMES = {"nRCD": ("nRCDRD", "nRCDWR"), "nRTPL": ("nRTP",), "nRFCab": ("nRFC",), "nBL_min": ("nBL",)}
"""Where a standard has another name for what the table calls nRCDRD, ..."""

TABLE = """
    ACT  ACT  bank     nRC
    ACT  RD   bank     nRCDRD
    ACT  WR   bank     nRCDWR
    ACT  PRE  bank     nRAS
    PRE  ACT  bank     nRP
    RD   PRE  bank     nRTP
    WR   PRE  bank     nCWL + nBL + nWR
    ACT  ACT  group    nRRDL
    RD   RD   group    nCCDL
    WR   WR   group    nCCDL
    WR   RD   group    nCWL + nBL_max + nWTRL
    ACT  ACT  rank     nRRDS
    RD   RD   rank     nCCDS
    WR   WR   rank     nCCDS
    WR   RD   rank     nCWL + nBL + nWTRS
    RD   WR   rank     nRTW
    ACT  PREA rank     nRAS
    RD   PREA rank     nRTP
    WR   PREA rank     nCWL + nBL + nWR
    PREA ACT  rank     nRPab
    ACT  REF  rank     nRC
    PRE  REF  rank     nRP
    PREA REF  rank     nRP
    REF  ACT  rank     nRFC
    REF  PREA rank     nRFC
    REF  REF  rank     nRFC
"""
"""Earlier command, later command, what both have in common, least distance. A rank of HBM is a pseudo-channel."""

MORE = {
    "ranks": """
    RD   RD   channel  nBL
    WR   WR   channel  nBL
    RD   RD   other_rank  nBL + nCS
    RD   WR   other_rank  nBL + nCS
    WR   RD   other_rank  nCWL + nBL + nCS - nCL
""",
    "nPPD": """
    PRE  PRE  rank     nPPD
    PRE  PREA rank     nPPD
    PREA PRE  rank     nPPD
    PREA PREA rank     nPPD
""",
    "nCCDR": """
    RD   RD   other_stack  nCCDR
""",
    "closed": """
    RD   ACT  bank     nRTP + nRP
    WR   ACT  bank     nCWL + nBL + nWR + nRP
    RD   REF  rank     nRTP + nRP
    WR   REF  rank     nCWL + nBL + nWR + nRP
""",
}
"""Standards whose ranks share a data bus; those with these timings; a page that every access closes behind itself."""

ON_BUS = {"ACT": ("ACT", "PRE", "PREA", "REF"), "RD": ("RD", "WR"), "WR": ("RD", "WR")}
"""Commands of the bus on which a long command is not over yet."""

PAIRWISE = {"LPDDR5": ("nPPD",), "HBM3": ("nPPD", "nCCDR"), "DDR4": (), "GDDR6": (), "HBM2": ()}
RANKED = ("DDR4", "LPDDR5")

Distance = tuple[str, str, str, int]
"""Earlier command, later command, scope, ticks."""


@dataclass(frozen=True)
class Chips:
    """One channel; `t` holds the timings in ticks."""

    standard: str
    tick_ps: Fraction
    access_bytes: int
    bursts_per_row: int
    bank_groups: int
    banks_per_group: int
    rows: int
    t: dict[str, int]
    bus: str
    pseudo_channels: int = 1
    stacks: int = 1
    ticks_per_cycle: int = 1
    long: Mapping[str, int] = field(default_factory=dict)


@cache
def _file() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(__file__).with_name("twin_presets.json").read_text(encoding="utf-8"))
    return table


def chips(name: str, timing: Mapping[str, int] | None = None) -> Chips:
    """A preset; `timing` replaces some of its timings, in clock cycles."""
    given = _file()[ALIASES.get(name, name)]
    more = {"ticks_per_cycle": 1} | ORGANISATION[given["standard"]]
    cycles = dict(given["timing_cycles"])
    for old, new in OTHER_NAMES.items():
        cycles |= dict.fromkeys(new, cycles[old]) if old in cycles else {}
    cycles.setdefault("nBL_max", cycles["nBL"])
    cycles.setdefault("nRPab", cycles["nRP"])
    # GDDR6: nCL + 1 (its file in Ramulator); others: the read data have passed, and two cycles to turn the bus around
    turn = 1 if given["standard"] == "GDDR6" else cycles["nBL"] + 2 - cycles["nCWL"]
    cycles.setdefault("nRTW", cycles["nCL"] + turn)
    cycles |= timing or {}
    return Chips(
        standard=given["standard"],
        tick_ps=Fraction(given["tCK_ps"], more["ticks_per_cycle"]),
        access_bytes=given["data_width_bits"] * given["burst_length"] // 8,
        bursts_per_row=given["columns"] // given["burst_length"],
        bank_groups=given["bank_groups"],
        banks_per_group=given["banks_per_group"],
        rows=given["rows"],
        t={key: value * more["ticks_per_cycle"] for key, value in cycles.items()},
        **more,
    )


def distances(memory: Chips, *, closed_page: bool) -> list[Distance]:
    """Every rule of a memory, in ticks from the last tick of a command to the last tick of the other."""
    text = TABLE + (MORE["ranks"] if memory.standard in RANKED else "") + (MORE["closed"] if closed_page else "")
    text += "".join(MORE[name] for name in PAIRWISE[memory.standard])
    found = []
    for earlier, later, scope, *terms in (line.split() for line in text.splitlines() if line.strip()):
        ticks = memory.t[terms[0]]
        for sign, term in zip(terms[1::2], terms[2::2], strict=True):
            ticks += memory.t[term] if sign == "+" else -memory.t[term]
        ticks += memory.long.get(earlier, 1) - memory.long.get(later, 1)
        found.append((earlier, later, scope, ticks))
    for earlier, ticks in memory.long.items():
        found += [(earlier, later, "channel", ticks) for later in ON_BUS[earlier]]
    return found
