"""Presets and their sources: every value has exactly one, formulas hold, and a file that says otherwise is refused."""

import json
from math import ceil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from dsasim.model.dram_preset import load_presets, read_presets

PRESETS = load_presets()
COLLECTED = json.loads((Path(__file__).parents[1] / "twin_presets.json").read_text(encoding="utf-8"))
"""The numbers of data/costs/dram_presets.json, under Ramulator's names."""
THERE = {"nRTPL": "nRTP", "nRFCab": "nRFC", "nBL_min": "nBL"}
LEFT_OUT = {
    "LPDDR5_6400": {"nCCDS_WR", "nCCDL_WR", "nCAS", "nRFCpb", "nREFIpb", "nPBR2PBR", "nPBR2ACT"},
    "GDDR6_14000": {"nRFCpb", "nRREFD", "nPPD"},
    "HBM2_2000": {"nRFCpb", "nRREFD", "nREFIpb"},
    "HBM3_6400": {"nRFCpb", "nRREFD", "nRFMab", "nRFMpb", "nREFIpb"},
}
"""Per-bank refresh; write distances equal to those of reads; a CAS that waits for nothing; nPPD of one cycle."""


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_has_one_source(name: str) -> None:
    preset = PRESETS[name]
    values = [key for group in preset.sources for key in group.values]
    assert len(values) == len(set(values))
    assert set(preset.timing_cycles) < set(values)
    for group in preset.sources:
        for key, value in group.values.items():
            assert value == (preset.timing_cycles[key] if key in preset.timing_cycles else getattr(preset, key))


@pytest.mark.parametrize("name", ["DDR4_2400", "DDR4_3200", "LPDDR5_6400", "GDDR6_14000", "HBM2_2000", "HBM3_6400"])
def test_values_are_those_collected(name: str) -> None:
    preset, table = PRESETS[name], COLLECTED[name]
    expected = {THERE.get(key, key): value for key, value in table["timing_cycles"].items()}
    left_out = LEFT_OUT.get(name, set())
    added = set() if "nRTW" in expected else {"nRTW"}
    assert preset.timing_cycles.keys() - added == expected.keys() - left_out
    assert all(preset.timing_cycles[key] == expected[key] for key in expected.keys() - left_out)
    for key in ("data_width_bits", "burst_length", "bank_groups", "banks_per_group", "rows", "columns"):
        assert getattr(preset, key) == table[key]
    assert preset.tck_ps == table["tCK_ps"]
    cycles = table["timing_cycles"]
    assert (cycles.get("nCCDS_WR", cycles["nCCDS"]), cycles.get("nCCDL_WR", cycles["nCCDL"])) == (
        cycles["nCCDS"],
        cycles["nCCDL"],
    )


REFRESH_NS = {
    "DDR4_2400": (360, 7800),
    "DDR4_3200": (360, 7800),
    "LPDDR5_6400": (280, 3906),
    "HBM2_2000": (350, 3900),
    "HBM3_6400": (350, 3900),
}
WINDOW_NS = {"LPDDR5_6400": (5, 20, 16), "HBM2_2000": (4, 15, 8)}
"""nRRD and nFAW in ns, and the least nFAW in cycles."""


def test_what_is_computed_follows_from_its_formula() -> None:
    for name, (rfc_ns, refi_ns) in REFRESH_NS.items():
        t, tck = PRESETS[name].timing_cycles, PRESETS[name].tck_ps
        assert (t["nRFC"], t["nREFI"]) == (ceil(rfc_ns * 1000 / tck), ceil(refi_ns * 1000 / tck)), name
    for name, (rrd_ns, faw_ns, least) in WINDOW_NS.items():
        t, tck = PRESETS[name].timing_cycles, PRESETS[name].tck_ps
        assert t["nRRDS"] == t["nRRDL"] == max(4, ceil(rrd_ns * 1000 / tck)), name
        assert t["nFAW"] == max(least, ceil(faw_ns * 1000 / tck)), name
    for name in ("DDR4_2400", "DDR4_3200", "LPDDR5_6400", "HBM2_2000"):
        t = PRESETS[name].timing_cycles
        assert t["nRTW"] == t["nCL"] + t["nBL"] + 2 - t["nCWL"], name
    gddr6 = PRESETS["GDDR6_14000"].timing_cycles
    assert gddr6["nRTW"] == gddr6["nCL"] + 1


def written(**changes: object) -> str:
    """A file of one preset, changed; None leaves a timing out."""
    timings = {
        "nBL": 4, "nCL": 16, "nCWL": 12, "nRCD": 16, "nRP": 16, "nRAS": 39, "nRC": 55, "nWR": 18, "nRTP": 9, "nCCDS": 4,
        "nCCDL": 6, "nRRDS": 4, "nRRDL": 6, "nFAW": 26, "nWTRS": 3, "nWTRL": 9, "nRTW": 10, "nRFC": 433, "nREFI": 9364,
    }  # fmt: skip
    values = {"tck_ps": 833, "data_width_bits": 64, "burst_length": 8, "bank_groups": 4, "banks_per_group": 4}
    values |= {"rows": 65536, "columns": 1024, "bus": "one"} | timings | changes.pop("values", {})  # type: ignore[operator]
    values = {key: value for key, value in values.items() if value is not None}
    entry = {"standard": "DDR4", "channel": "64 bits", "values": {"sheet": values}}
    entry["values"] |= changes.pop("groups", {})  # type: ignore[operator]
    entry |= changes.pop("entry", {})  # type: ignore[arg-type]
    file = {"sources": {"sheet": {"kind": "table", "text": "a data sheet, table 1"}}, "presets": {"A": entry}}
    return yaml.safe_dump(file | {"aliases": {"B": "A"}} | changes)


def test_a_file_that_is_right() -> None:
    presets = read_presets(written())
    assert presets["A"] is presets["B"]
    assert presets["A"].timing_cycles["nRC"] == 55


OTHER = {"kind": "assumed", "text": "from somebody's memory"}
SHEET = {"kind": "table", "text": "a data sheet, table 1"}
WRONG = {
    "outside a source": ({"entry": {"nRC": 55}}, "nRC"),
    "unknown source": ({"groups": {"hearsay": {"nPPD": 2}}}, "'hearsay', which is not among the sources"),
    "unused source": ({"sources": {"sheet": SHEET, "other": OTHER}}, "no value stands under the source 'other'"),
    "two sources": (
        {"sources": {"sheet": SHEET, "other": OTHER}, "groups": {"other": {"nRC": 56}}},
        "A: nRC stands under two sources",
    ),
    "a source of nothing": ({"sources": {"sheet": {"kind": "table", "text": ""}}}, "sources.sheet.text"),
    "a source of another kind": ({"sources": {"sheet": {"kind": "rumour", "text": "x" * 20}}}, "sources.sheet.kind"),
    "a timing that no rule knows": ({"values": {"nXYZ": 1}}, "nXYZ"),
    "a timing left out": ({"values": {"nRC": None}}, "no nRC"),
    "no row to column": ({"values": {"nRCD": None, "nRCDRD": 16}}, "no nRCD"),
    "size left out": ({"values": {"rows": None}}, "rows"),
    "number in quotes": ({"values": {"nRC": "55"}}, "nRC"),
    "nothing": ({"values": {"nRC": 0}}, "nRC"),
    "bus": ({"values": {"bus": "omnibus"}}, "bus"),
    "alias": ({"aliases": {"B": "C"}}, "an alias of C, which is no preset"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_wrong(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read_presets(written(**changes))
