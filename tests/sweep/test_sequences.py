"""A sweep over a trace of two sequences: workers share a cache on disk, and each run is what it would be alone."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.sweep import load_sweep
from dsasim.sweep.worker import run_job
from dsasim.trace.synthetic import Synthetic, write_synthetic
from dsasim.train.self_fit import fit_trace

AXES = "{pe_array.lanes: [2, 4], mask_generator.density: [0.1, 0.3]}"


@pytest.mark.parametrize("pass_", ["first", "second"])
def test_two_workers_mix_up_no_sequences(
    pass_: str, spec: Callable, sweep: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Synthetic("top_k", Decimal("0.2"), 24, 24, 2, 2, 1, 16, causal=True, num_sequences=2)
    write_synthetic(tmp_path / "plain.safetensors", wanted, with_qkv=True)
    fit_trace(tmp_path / "plain.safetensors", tmp_path / "batch.safetensors", [Decimal("0.25")])
    monkeypatch.setenv("DSASIM_CACHE_DIR", str(tmp_path / "cache"))
    asked = spec(traces=str(tmp_path / "batch.safetensors"), axes=AXES, objectives="[cycles, captured_mass_ratio]")
    for folder in ("first", "second") if pass_ == "second" else ("first",):  # the second reads what the first left
        sweep(asked, run_job, folder)
    rows = load_sweep(tmp_path / pass_)
    assert len(rows) == 4
    for row in rows:
        expected = alone(row, tmp_path / "batch.safetensors")
        assert [(layer["layer"], layer["sequence"]) for layer in row["layers"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        for name in ("cycles", "layers", "quality", "counters"):
            assert row[name] == expected[name], name


def alone(row: dict[str, Any], path: Path) -> dict[str, Any]:
    """The run of a row in this process, nothing remembered."""
    changes = [f"{name}={value}" for name, value in row["axes"].items()]
    result = simulate(load_arch("dsa-decoupled", changes), load_trace(path), baselines=False).to_json()
    found: dict[str, Any] = json.loads(json.dumps(result, default=str))
    return found
