"""`dsasim dram`."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dsasim.inputs.stream import WAIT_SECONDS
from dsasim.model.dram_preset import load_presets

MATCHED = ("--preset", "DDR4_2400", "--mapping", "row-bank-bankgroup-rank-column", "--no-refresh")


@pytest.fixture
def conflict(tmp_path: Path) -> str:
    """Two reads of different rows of a bank: ACT 1, RD 17, PRE 40, ACT 56, RD 72, data until 92."""
    path = tmp_path / "conflict.csv.gz"
    path.write_bytes(gzip.compress(b"op,addr,not_before\nR,0,0\nR,131072,0\n"))
    return str(path)


def test_json_holds_what_is_promised(dsasim: Callable, conflict: str) -> None:
    done = dsasim("dram", conflict, *MATCHED, "--json", "-")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["requests"], found["reads"], found["writes"]) == (2, 2, 0)
    assert (found["cycles_last_read"], found["cycles_drained"]) == (92, 92)
    assert found["bandwidth_gbps"] == pytest.approx(128 / (92 * 0.833))
    assert found["avg_read_latency_cycles"] == (37 + 91) / 2
    assert (found["row_hits"], found["row_misses"], found["row_conflicts"]) == (0, 1, 1)
    commands = {"act": 2, "pre": 1, "rd": 2, "wr": 0, "ref": 0}
    assert {name: found["commands"][name] for name in commands} == commands
    assert found["latency_histogram"] == [{"from_cycles": 32, "reads": 1}, {"from_cycles": 64, "reads": 1}]
    active = 40 - 1 + 92 - 56
    assert found["open_cycles"] == [active]
    assert found["channels"] == [commands | {"active_cycles": active, "idle_cycles": 92 - active}]
    values = {name: value for group in found["dram_sources"] for name, value in group["values"].items()}
    assert (values["nRCD"], values["tck_ps"]) == (16, 833)
    assert all(group["kind"] in ("table", "computed", "assumed") and group["source"] for group in found["dram_sources"])


def test_the_table_says_the_same(dsasim: Callable, conflict: str, tmp_path: Path) -> None:
    done = dsasim("dram", conflict, *MATCHED, "--json", str(tmp_path / "r.json"))
    for words in ("2 requests on 1 x DDR4_2400", "76.64 ns (92 cycles)", "64 to 127", "row conflicts"):
        assert words in done.out
    assert max(map(len, done.out.split("\n"))) <= 100
    assert json.loads((tmp_path / "r.json").read_text())["cycles_drained"] == 92


def rows_of(text: str) -> dict[str, list[str]]:
    """The numbers of each table row, by its label."""
    rows = (re.split(r" {2,}", line.strip()) for line in text.splitlines())
    return {label: numbers for label, *numbers in rows}


def test_only_commands_are_called_commands(dsasim: Callable, tmp_path: Path) -> None:
    """Two channels, burst by burst. Channel 0: 0 is read, then 128; 1: 64 is written, merged and forwarded."""
    path = tmp_path / "t.csv"
    path.write_text("R,0,0\nW,64,0\nW,64,0\nR,64,0\nR,128,0\n")
    out = dsasim("dram", str(path), *MATCHED, "--channels", "2", "--inject", "8").out
    rows = rows_of(out)
    assert rows["requests"] == ["count", "share"]
    assert rows["reads forwarded from the write queue"] == ["1", "20.0 %"]
    assert rows["writes merged into the write queue"] == ["1", "20.0 %"]
    assert rows["commands"] == ["ACT", "PRE", "RD", "WR", "REF", "a row open"]
    assert rows["channel 0"][:5] == ["1", "0", "2", "0", "0"]
    assert rows["channel 1"][:5] == ["1", "0", "0", "1", "0"]
    assert rows["all"][:5] == ["2", "0", "2", "1", "0"]


def test_one_channel_is_told_once_and_half_cycles_are_called_so(dsasim: Callable, conflict: str) -> None:
    assert "channel 0" not in dsasim("dram", conflict, *MATCHED).out
    out = dsasim("dram", conflict, "--preset", "HBM3", "--mapping", "mop4").out
    assert "half cycles)" in out
    assert rows_of(out)["half cycles"] == ["reads"]


@pytest.mark.parametrize("preset", ["DDR4_2400", "LPDDR5_6400", "GDDR6", "HBM2", "HBM3"])
def test_a_preset_is_shown_with_the_source_of_each_value(dsasim: Callable, preset: str) -> None:
    done = dsasim("dram", "--show", preset)
    assert (done.status, done.err) == (0, "")
    assert max(map(len, done.out.split("\n"))) <= 100
    rows, values = rows_of(done.out), load_presets()[preset]
    for name, cycles in values.timing_cycles.items():
        ns = f"{cycles * values.tck_ps / 1000:,.2f}"
        assert rows[name][:2] == [f"{cycles:,}", ns]
        assert f"\n{rows[name][2]} " in done.out  # its source is among those below


def test_what_is_assumed_is_called_so(dsasim: Callable) -> None:
    out = dsasim("dram", "--show", "HBM2").out
    assert f"{rows_of(out)['nFAW'][2]} assumed: " in out


def test_a_preset_to_show_that_is_none(dsasim: Callable) -> None:
    done = dsasim("dram", "--show", "DDR4_2401")
    assert (done.status, done.out) == (2, "")
    assert "did you mean DDR4_2400" in done.err


def test_what_lies_past_the_capacity_wraps_and_is_told(dsasim: Callable, tmp_path: Path) -> None:
    """DDR4-2400 has 8 GiB a rank: 2^33 is the first address past it, and again row 0 of bank 0."""
    path = tmp_path / "t.csv"
    path.write_text(f"R,0,0\nR,{(1 << 33) - 64},0\nR,{1 << 33},100\n")
    assert "1 requests lie past the 8,192 MiB and begin again at 0" in dsasim("dram", str(path), *MATCHED).out
    found = json.loads(dsasim("dram", str(path), *MATCHED, "--json", "-").out)
    assert (found["wrapped_requests"], found["row_hits"]) == (1, 1)
    twice = dsasim("dram", str(path), *MATCHED, "--ranks", "2", "--json", "-").out
    assert json.loads(twice)["wrapped_requests"] == 0


def test_options_reach_the_memory(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("".join(f"R,{64 * at},0\n" for at in range(64)))

    def cycles(*options: str) -> int:
        return json.loads(dsasim("dram", str(path), *MATCHED, *options, "--json", "-").out)["cycles_drained"]

    assert cycles() == 37 + 63 * 6
    assert cycles("--channels", "2") < cycles() * 0.6  # two a cycle, each channel every other burst
    assert cycles("--channels", "2", "--inject", "1") >= cycles("--channels", "2")
    assert cycles("--page", "closed") > 3000  # an ACT each, nRC = 55 apart
    assert cycles("--mapping", "mop4") < cycles()
    assert cycles("--ranks", "2") == cycles()


def test_refreshes_unless_told_not_to(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("R,0,20000\n")
    counts = [
        json.loads(dsasim("dram", str(path), *MATCHED, *flag, "--json", "-").out)["commands"]["ref"]
        for flag in ((), ("--refresh",))
    ]
    assert counts == [0, 2]


@pytest.mark.parametrize("preset", ["LPDDR5_6400", "GDDR6", "HBM2", "HBM3", "HBM2_2000", "GDDR6_14000", "HBM3_6400"])
def test_every_preset_replays(dsasim: Callable, conflict: str, preset: str) -> None:
    done = dsasim("dram", conflict, "--preset", preset, "--mapping", "mop4", "--channels", "4", "--json", "-")
    assert (done.status, json.loads(done.out)["requests"]) == (0, 2)


BAD = {
    "empty": ("op,addr,not_before\n", (), "t.csv: no requests; a line is op,addr,not_before"),
    "columns": ("R,0,0\nR,64\n", (), "t.csv:2: a line is op,addr,not_before, got 'R,64'"),
    "line": ("R,0,0\nR,7,0\n", (), "t.csv:2: addr is not a multiple of the burst of 64 bytes, got 'R,7,0'"),
    "preset": ("R,0,0\n", ("--preset", "DDR4_2401"), "no DRAM preset 'DDR4_2401'; did you mean DDR4_2400?"),
    "field": ("R,0,0\n", ("--mapping", "row-bonk-column"), "no address field 'bonk'"),
    "twice": ("R,0,0\n", ("--mapping", "row-bank-row-column-bankgroup"), "names row twice"),
    "missing": ("R,0,0\n", ("--mapping", "row-bank-column"), "leaves out bankgroup"),
    "ranks": ("R,0,0\n", ("--preset", "HBM2", "--ranks", "2"), "HBM2 has one rank a channel, not 2"),
    "channels": ("R,0,0\n", ("--channels", "0"), "--channels"),
    "page": ("R,0,0\n", ("--page", "ajar"), "--page"),
}


@pytest.mark.parametrize(("text", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input_ends_with_2_and_says_where(
    dsasim: Callable, tmp_path: Path, text: str, options: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    done = dsasim("dram", str(path), *MATCHED, *options)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("mapping", ["mop4", "row-bank-bankgroup-rank-column"])
@pytest.mark.parametrize("ranks", ["3", "5", "6", "7"])
def test_ranks_are_a_power_of_two(dsasim: Callable, conflict: str, ranks: str, mapping: str) -> None:
    done = dsasim("dram", conflict, "--preset", "DDR4_2400", "--mapping", mapping, "--ranks", ranks)
    assert (done.status, done.out) == (2, "")
    assert f"a channel needs 1, 2, 4 or 8 ranks, got {ranks}" in done.err


@pytest.mark.parametrize(
    "option", [("--channels", "65"), ("--inject", "4097"), ("--inject", "9" * 30), ("--ranks", "9")]
)
def test_a_number_out_of_range_is_told_what_is_allowed(
    dsasim: Callable, conflict: str, option: tuple[str, str]
) -> None:
    most = {"--channels": "64", "--inject": "4096", "--ranks": "8"}[option[0]]
    done = dsasim("dram", conflict, *MATCHED, *option)
    assert (done.status, done.out) == (2, "")
    assert option[0] in done.err
    assert most in done.err


def test_a_loop_of_links_is_neither_trace_nor_result(dsasim: Callable, conflict: str, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    written = dsasim("dram", conflict, *MATCHED, "--json", str(loop))
    assert (written.status, "--json" in written.err, "cannot be written" in written.err) == (2, True, True)
    read = dsasim("dram", str(loop), *MATCHED, "--json", str(tmp_path / "r.json"))
    assert (read.status, "cannot be read: too many levels of symbolic links" in read.err) == (2, True)
    assert not (tmp_path / "r.json").exists()


def test_help_says_how_long_a_pipe_is_waited_for(dsasim: Callable) -> None:
    assert f"every {WAIT_SECONDS} s" in " ".join(re.sub("[│\n]", " ", dsasim("dram", "--help").out).split())


@pytest.mark.parametrize("sizes", [("DDR4_2400", "64", "8"), ("HBM3", "64", "1"), ("LPDDR5_6400", "64", "8")])
def test_one_late_request_is_replayed_at_once(dsasim: Callable, tmp_path: Path, sizes: tuple[str, str, str]) -> None:
    """Every rank, or pseudo-channel, of every channel is refreshed once in each whole interval before it."""
    path = tmp_path / "t.csv"
    name, channels, ranks = sizes
    preset = load_presets()[name]
    intervals = 10**12 // preset.ticks["nREFI"] - 1
    path.write_text(f"R,0,{intervals * preset.ticks['nREFI'] + 300}\n")
    options = ("--preset", name, "--mapping", "mop4", "--channels", channels, "--ranks", ranks)
    found = json.loads(dsasim("dram", str(path), *options, "--json", "-").out)
    assert found["commands"]["ref"] == intervals * int(ranks) * preset.pseudo_channels * 64


def test_the_trace_is_not_overwritten(dsasim: Callable, conflict: str) -> None:
    before = Path(conflict).read_bytes()
    done = dsasim("dram", conflict, *MATCHED, "--json", conflict)
    assert done.status == 2
    assert "would overwrite the trace" in done.err
    assert Path(conflict).read_bytes() == before


@pytest.mark.parametrize(("trace", "out"), [("loop", "r.json"), ("t.csv", "loop"), ("loop", "loop")])
def test_links_in_a_circle_are_one_message(
    dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trace: str, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("t.csv").write_text("0,0,read\n")
    done = dsasim("dram", trace, *MATCHED, "--json", out)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "loop" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "t.csv"]
