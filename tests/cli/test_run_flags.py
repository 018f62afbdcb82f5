"""What is asked of `dsasim run` and `compare` is what is simulated."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsasim.sweep.pool import LocalWorkers
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.store import write_trace


def ran(result: dict) -> list[tuple[int, int]]:
    """Layer and head of everything that was simulated."""
    return [(layer["layer"], head["head"]) for layer in result["layers"] for head in layer["heads"]]


def test_the_layers_and_heads_asked_for(dsasim: Callable) -> None:
    whole = ("run", "dsa-edge", "minilm-l128", "--json", "-")
    some = json.loads(dsasim(*whole, "--layers", "1,4", "--heads", "0-1,7").out)
    assert ran(some) == [(layer, head) for layer in (1, 4) for head in (0, 1, 7)]
    assert ran(json.loads(dsasim(*whole, "--heads", "11").out)) == [(layer, 11) for layer in range(6)]


def test_a_head_must_be_in_every_layer_that_is_run(dsasim: Callable, tmp_path: Path) -> None:
    """Layers of 2 and 4 heads: head 3 is in one of them alone."""
    layers = [MaskArrays(n, np.full((heads, 8, 1), 255, np.uint8), 8, 8, heads, False) for n, heads in ((0, 2), (1, 4))]
    path = tmp_path / "m.safetensors"
    write_trace(path, layers, kind="mask", model="none", provenance={})
    run = ("run", "dsa-edge", str(path), "--heads", "3")
    refused = dsasim(*run)
    assert (refused.status, refused.out) == (2, "")
    assert "--heads 3: 3 is not in this trace, which has 0-1" in refused.err
    assert ran(json.loads(dsasim(*run, "--layers", "1", "--json", "-").out)) == [(1, 3)]


def test_a_timeline_shows_its_window_alone(dsasim: Callable, tmp_path: Path) -> None:
    """What happened in cycles 100 to 199 of the whole, cut to them."""
    small = ("run", "dsa-edge", "minilm-l128", "--layers", "2", "--heads", "0")

    def spans(name: str, *flags: str) -> set[tuple[str, float, float]]:
        path = tmp_path / name
        assert dsasim(*small, "--timeline", str(path), *flags).status == 0
        events = [each for each in json.loads(path.read_text())["traceEvents"] if each["ph"] == "X"]
        return {(e["name"], e["ts"], e["ts"] + e["dur"]) for e in events}

    whole, part = spans("w.json"), spans("p.json", "--timeline-window", "100:199")
    assert 0 < len(part) < len(whole)
    assert {(name, max(begin, 100), min(end, 200)) for name, begin, end in whole if begin < 200 and end > 100} == {
        (name, max(begin, 100), min(end, 200)) for name, begin, end in part
    }


def test_compare_runs_what_run_does_with_the_same_flags(dsasim: Callable) -> None:
    flags = ("--layers", "2", "--heads", "1,3", "--set", "softmax.exp_per_cycle=1", "--set", "pe_array.macs_per_row=8")
    compared = json.loads(
        dsasim("compare", "dsa-edge", "dsa-decoupled", "--trace", "minilm-l128", *flags, "--json", "-").out
    )
    for name, found in zip(("dsa-edge", "dsa-decoupled"), compared["runs"], strict=True):
        alone = json.loads(dsasim("run", name, "minilm-l128", *flags, "--json", "-").out)
        assert found == alone
        assert ran(found) == [(2, 1), (2, 3)]
        assert (found["arch"]["softmax"]["exp_per_cycle"], found["arch"]["pe_array"]["macs_per_row"]) == (1, 8)


def test_every_profile_is_compared(dsasim: Callable, tmp_path: Path) -> None:
    times = {"median_us": 100.0, "p20_us": 100.0, "p80_us": 100.0}
    row = {"kernel": "sdpa_math", "L": 128, "num_heads": 2, "d_head": 64, "causal": False, "density": 1.0, **times}
    flags: list[str] = []
    for device in ("one", "two", "three"):
        profile = {
            "profile_version": 1,
            "device": device,
            "dtype": "float16",
            "parallel_units": 4,
            "rows": [row],
            "matmul_tflops": 1.0,
            "copy_gbps": 100.0,
            "launch_us": 5.0,
            "versions": {},
            "clocks": {},
            "unavailable": {},
        }
        path = tmp_path / f"{device}.json"
        path.write_text(json.dumps(profile))
        flags += ["--gpu-profile", str(path)]
    small = ("run", "dsa-edge", "minilm-l128", "--layers", "2", "--heads", "0", "--json", "-")
    found = json.loads(dsasim(*small, *flags).out)["baseline"]["gpu"]
    assert {gpu["gpu"] for gpu in found if gpu["basis"] == "measured"} == {"one", "two", "three"}


def test_as_many_workers_as_asked_for(dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there are cores here, so that it is not the default by chance; they are forked, which is quick."""
    from dsasim.sweep import pool

    started: list[int] = []

    def forked(num_workers: int) -> LocalWorkers:
        started.append(num_workers)
        return LocalWorkers(1, "fork")

    monkeypatch.setattr(pool, "LocalWorkers", forked)
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "base: dsa-edge\ntraces: {trace: minilm-l128, layers: 2, heads: 0}\n"
        "axes: {pe_array.lanes: 2}\nobjectives: cycles\n"
    )
    for number, flag in enumerate((("--workers", "1"), ("--workers", "77"), ())):
        done = dsasim("sweep", str(spec), "--out", str(tmp_path / str(number)), *flag)
        assert done.status == 0, done.err
    assert started == [1, 77, len(os.sched_getaffinity(0))]
