"""`dsasim run`: the main job, and everything that may be wrong with what it is given."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

# one head of one layer: a run of the real machine that takes a moment
SMALL = ("dsa-decoupled", "smollm2-l512", "--layers", "24", "--heads", "0")


def test_a_run_prints_the_answer_first(dsasim: Callable) -> None:
    done = dsasim("run", *SMALL)
    assert (done.status, done.err) == (0, "")
    lines = done.out.split("\n")
    assert lines[0].startswith("dsa-decoupled on smollm2-l512 (real, ")
    first_words = [line.split()[0] for line in lines[1:7]]
    assert first_words == ["cycles", "speed-up", "at", "energy", "density", "captured"]
    assert max(map(len, lines)) <= 100


def test_json_holds_the_contract(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert dsasim("run", *SMALL, "--json", str(path)).status == 0
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]
    result = json.loads(path.read_text(encoding="utf-8"))
    for key in (
        "schema_version",
        "dsasim_version",
        "arch",
        "arch_sha256",
        "trace",
        "cycles",
        "time_ns",
        "units",
        "counters",
        "layers",
        "energy_pj",
        "area_mm2",
        "quality",
        "baseline",
        "invariants",
    ):
        assert key in result
    assert all(result["invariants"].values())
    assert {head["head"] for layer in result["layers"] for head in layer["heads"]} == {0}


def test_json_to_stdout_is_only_json_and_always_the_same(dsasim: Callable) -> None:
    first = dsasim("run", *SMALL, "--json", "-")
    assert json.loads(first.out)["cycles"] > 0
    assert dsasim("run", *SMALL, "--json", "-").out == first.out
    assert str(Path.cwd()) not in first.out


def test_a_design_from_a_file_gives_what_its_name_gives(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(dsasim("arch", "show").out, encoding="utf-8")
    named = dsasim("run", *SMALL, "--json", "-").out
    assert dsasim("run", str(path), *SMALL[1:], "--json", "-").out == named


def test_an_oracle_prints_a_bound(dsasim: Callable) -> None:
    assert "at most " in dsasim("run", *SMALL, "--set", "predictor.method=oracle_topk").out


@pytest.mark.parametrize("design", ["dsa-decoupled", "dsa-coupled", "dsa-edge", "dense-16x16", "dense-flash"])
@pytest.mark.parametrize("trace", ["smollm2-l512", "minilm-l128"])
def test_every_shipped_design_runs_every_shipped_trace(dsasim: Callable, design: str, trace: str) -> None:
    done = dsasim("run", design, trace, "--heads", "0")
    assert (done.status, done.err) == (0, "")


BAD = {
    "design": (("dsa-decopled",), "did you mean 'dsa-decoupled'?"),
    "trace": (("dsa-edge", "smolm2-l512"), "smollm2-l512"),
    "trace first": (("smollm2-l512",), "is a trace, not a design"),
    "trace file first": (("traces.safetensors",), "traces.safetensors"),
    "two designs": (("dsa-edge", "dsa-decoupled"), "'dsa-decoupled' is a design, not a trace"),
    "set": (("--set", "density=0.2"), "did you mean mask_generator.density?"),
    "sigma": (("--set", "predictor.sigma=0.3"), "oracle_topk"),
    "layer": (("--layers", "3"), "--layers 3: 3 is not in this trace, which has"),
    "head": (("--heads", "9"), "--heads 9: 9 is not in this trace, which has 0-8"),
    "heads": (("--heads", "0-9"), "--heads 0-9: 0-9 is not in this trace, which has 0-8"),
    "part of a layer": (("--scope", "layer", "--heads", "0"), "scope layer runs whole layers: leave --heads out"),
    "part of a model": (("--scope", "model", "--layers", "13"), "scope model runs all layers of the trace"),
    "json folder": (("--json", "."), "--json .: cannot be written: is a folder"),
    "json nowhere": (("--json", "no/r.json"), "--json no/r.json: cannot be written"),
    "timeline folder": (("--timeline", "."), "--timeline .: cannot be written: is a folder"),
    "timeline nowhere": (("--timeline", "no/t.json.gz"), "--timeline no/t.json.gz: cannot be written"),
    "timeline to stdout": (("--timeline", "-"), "--timeline -: a timeline is written to a file, not to stdout"),
    "window alone": (("--timeline-window", "0:9"), "--timeline-window is a part of --timeline FILE"),
    "window of words": (
        ("--timeline", "t.json.gz", "--timeline-window", "a:9"),
        "--timeline-window a:9: expected the first",
    ),
    "window open": (("--timeline", "t.json.gz", "--timeline-window", "9"), "--timeline-window 9: expected the first"),
    "window backwards": (("--timeline", "t.json.gz", "--timeline-window", "9:8"), "the window ends before it begins"),
    "too small": (("--set", "buffers.k.bytes=64"), "buffers.k"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_message_and_status_2(
    dsasim: Callable, arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = dsasim("run", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert done.err.startswith("dsasim: error: ")
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_leaves_the_old_result(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old", encoding="utf-8")
    assert dsasim("run", "--layers", "999", "--json", str(path)).status == 2
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_a_timeline_is_gzipped_json_and_always_the_same_bytes(dsasim: Callable, tmp_path: Path) -> None:
    one, two, plain = tmp_path / "one.json.gz", tmp_path / "two.json.gz", tmp_path / "three.json"
    done = [dsasim("run", *SMALL, "--timeline", str(path)) for path in (one, two, plain)]
    assert [(run.status, run.err) for run in done] == [(0, "")] * 3
    assert done[0].out == dsasim("run", *SMALL).out
    assert one.read_bytes() == two.read_bytes()
    assert gzip.decompress(one.read_bytes()) == plain.read_bytes()
    events = json.loads(plain.read_text(encoding="utf-8"))["traceEvents"]
    assert {"X", "C", "M"} == {event["ph"] for event in events}
    assert sorted(tmp_path.iterdir()) == [one, plain, two]


def test_a_failed_run_leaves_the_old_timeline(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "t.json.gz"
    path.write_text("old", encoding="utf-8")
    too_small = ("--set", "buffers.q.bytes=1")
    assert dsasim("run", *SMALL, *too_small, "--timeline", str(path)).status == 2
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["t.json.gz"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_one_message(dsasim: Callable) -> None:
    done = dsasim("run", *SMALL, "--timeline", "/dev/full")
    assert done.status == 2
    assert done.err == "dsasim: error: --timeline /dev/full: cannot be written: no space left on device\n"
