"""`dsasim run dense-flash`: from the prompt to every file it can write, on traces and on masks."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

ONE_HEAD = ("minilm-l128", "--layers", "2", "--heads", "0")


def test_it_writes_all_that_a_run_can(dsasim: Callable, tmp_path: Path) -> None:
    files = {name: str(tmp_path / name) for name in ("r.json", "t.json.gz", "r.html")}
    done = dsasim(
        "run", "dense-flash", *ONE_HEAD, "--json", files["r.json"], "--timeline", files["t.json.gz"],
        "--report", files["r.html"],
    )  # fmt: skip
    assert (done.status, done.err) == (0, "")
    result = json.loads(Path(files["r.json"]).read_text())
    assert f"{result['cycles']:,}" in done.out
    for words in ("rescaler", "buffer_score", "100.0 %", "total"):
        assert words in done.out
    assert result["baseline"] is None
    assert all(result["invariants"].values())
    assert result["arch"]["design"] == "dense"
    events = json.loads(gzip.decompress(Path(files["t.json.gz"]).read_bytes()))["traceEvents"]
    rows = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"pe_array", "softmax", "rescaler", "dma_q", "dma_output", "dram"} <= rows
    counters = {event["name"] for event in events if event["ph"] == "C"}
    assert {"q buffer", "k buffer", "v buffer", "score buffer", "output buffer", "bandwidth"} <= counters
    page = Path(files["r.html"]).read_text(encoding="utf-8")
    assert "rescaler" in page
    assert "NaN" not in json.dumps(result)


def test_a_report_of_its_json(dsasim: Callable, tmp_path: Path) -> None:
    assert dsasim("run", "dense-flash", "minilm-l128", "--layers", "2", "--json", str(tmp_path / "r.json")).status == 0
    done = dsasim("report", str(tmp_path / "r.json"), "--out", str(tmp_path / "p.html"))
    assert (done.status, done.err) == (0, "")
    assert "softmax" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_masks_are_of_no_use_to_it(dsasim: Callable, tmp_path: Path) -> None:
    """A trace of masks alone is run as its shape: every allowed position, whatever is kept."""
    for seed in ("0", "1"):
        made = dsasim(
            "trace", "synth", "--out", str(tmp_path / f"{seed}.safetensors"), "--pattern", "random", "--seed", seed,
            "--length", "128", "--heads", "2", "--causal",
        )  # fmt: skip
        assert made.status == 0
    runs = [
        json.loads(dsasim("run", "dense-flash", str(tmp_path / f"{seed}.safetensors"), "--json", "-").out)
        for seed in "01"
    ]
    assert runs[0]["cycles"] == runs[1]["cycles"]
    assert runs[0]["counters"]["macs_sddmm"] == 2 * 64 * 128 * 129 // 2
    assert runs[0]["quality"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "mapping.keys=0"), "--set mapping.keys=0: mapping.keys: 0 is not a whole number from 1 to 1048576"),
        (("--set", "mapping.sub_arrays=3"), "mapping.sub_arrays 3 does not divide array.sub_arrays 4"),
        (("--set", "mapping.key=3"), "no such key mapping.key; did you mean mapping.keys?"),
        (("--set", "buffers.q.bytes=63"), "buffers.q.bytes is 63, but tiles of 1 x 1 rows"),
        (("--scope", "layer"), "scope layer: the machine dense runs attention alone"),
    ],
)
def test_what_is_refused(dsasim: Callable, arguments: tuple[str, ...], words: str) -> None:
    done = dsasim("run", "dense-flash", "minilm-l128", *arguments)
    assert done.status == 2
    assert words in done.err
    assert done.err.count("\n") == 1
