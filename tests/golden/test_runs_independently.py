"""The golden runs are not taken from dsasim alone: others computed the same figures.

Cycles, their owners, commands of the memory and counters are those of the twin (make_twin_runs.py writes them, and is
run here for a small part); energy is counters times the tables, quality is that of the masks in plain NumPy.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prices import Prices
from recount import recount
from twin.run import run_twin

from dsasim.api import load_arch, load_trace
from dsasim.prediction import load_predictor
from dsasim.sim.engine import run_machine

HERE = Path(__file__).parent
RUNS = sorted(path.stem for path in (HERE / "runs").glob("*.json"))
PREDICTED = [name for name in RUNS if name.startswith("dsa-")]


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "runs" / f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", RUNS)
def test_the_twin_counts_the_same(name: str) -> None:
    run, twin = golden(name), json.loads((HERE / "twin_runs" / f"{name}.json").read_text(encoding="utf-8"))
    assert run["cycles"] == twin["cycles"]
    assert [[head["cycles"] for head in layer["heads"]] for layer in run["layers"]] == twin["heads"]
    for unit, books in twin["books"].items():
        said = run["units"][unit]
        owners = {"busy": said["busy_cycles"]} | said["stall_cycles"]
        assert {owner: cycles for owner, cycles in owners.items() if cycles} == books, unit
    counted = dict.fromkeys(run["counters"], 0) | twin["counters"] | twin["counts"]
    bursts = {way: counted[f"dram_{way}_bursts"] for way in ("read", "write")}
    counted |= {f"dram_{way}_bytes": 64 * number for way, number in bursts.items()}
    counted["dram_open_edges"] = sum(channel["active_edges"] for channel in twin["channels"])
    assert run["counters"] == counted
    assert run["dram_channels"] == twin["channels"]


def test_the_twin_of_today_says_so_too() -> None:
    """A head: with `test_results_are_those_on_file`, the twin on file is the twin."""
    arch, trace = load_arch("dsa-decoupled"), load_trace("minilm-l128")
    chosen = {5: [3]}
    twin, run = run_twin(arch, trace, chosen), run_machine(arch, trace, chosen)
    counted = recount(arch, trace.layer(5), chosen[5])
    assert twin.cycles == run.cycles
    assert twin.heads == [[head.cycles for head in run.layers[0].heads]]
    assert {name: run.counters[name] for name in counted} == counted
    assert {name: run.counters[name] for name in twin.counts} == twin.counts


@pytest.mark.parametrize("name", RUNS)
def test_energy_is_counters_times_tables(name: str) -> None:
    run = golden(name)
    found = Prices(run["arch"]).energies(run["counters"], run["cycles"])
    assert found == pytest.approx(run["energy_pj"], rel=1e-9)


@pytest.mark.parametrize("name", RUNS)
def test_ratios_are_of_the_figures_beside_them(name: str) -> None:
    run = golden(name)
    assert run["time_ns"] == run["cycles"] / run["arch"]["clock_ghz"]
    assert run["area_mm2"]["total"] == pytest.approx(
        sum(area for key, area in run["area_mm2"].items() if key != "total")
    )
    baseline, iso = run["baseline"], run["baseline"]["iso_area"]
    assert baseline["speedup_vs_dense"] == pytest.approx(baseline["dense_cycles"] / run["cycles"])
    if iso is not None:
        assert iso["speedup_ratio"] == pytest.approx(iso["cycles"] / run["cycles"])
    for unit in run["units"].values():
        assert unit["busy_cycles"] + sum(unit["stall_cycles"].values()) == unit["instances"] * run["cycles"]


def softmax(scores: Any) -> Any:
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", PREDICTED)
def test_quality_is_that_of_the_masks(name: str) -> None:
    """Recall of the exact top-n, softmax mass on kept keys, and the output's error, row by row in float64."""
    run, (arch_name, trace_name) = golden(name), name.split("_")
    arch, rows, squares = load_arch(arch_name), [], np.zeros(4)
    kept = allowed_positions = 0
    for layer in load_trace(trace_name):
        allowed = np.tri(layer.L_q, layer.L_k, dtype=bool) if layer.causal else np.ones((layer.L_q, layer.L_k), bool)
        predictor = load_predictor(arch, layer)
        for head in range(layer.num_heads):
            q, k, v = (
                np.float64(side) for side in (layer.q(head), *(s(layer.kv_head(head)) for s in (layer.k, layer.v)))
            )
            scores = np.where(allowed, layer.scale * (q @ k.T), -np.inf)
            ours = predictor.select(head).keep.to_dense()
            assert not (ours & ~allowed).any()
            order, best = np.argsort(-scores, axis=1, kind="stable"), np.zeros_like(ours)
            np.put_along_axis(best, order, np.arange(layer.L_k) < ours.sum(axis=1, keepdims=True), axis=1)
            exact = softmax(scores)
            for at, mask in enumerate((ours, best)):
                error = softmax(np.where(mask, scores, -np.inf)) @ v - exact @ v
                squares[2 * at : 2 * at + 2] += np.sum(error**2), np.sum((exact @ v) ** 2)
            rows.append([(ours & best).sum(1) / ours.sum(1), (exact * ours).sum(1), (exact * best).sum(1)])
            kept, allowed_positions = kept + ours.sum(), allowed_positions + allowed.sum()
    recall, mass, best_mass = np.concatenate(rows, axis=1).mean(axis=1)
    quality = run["quality"]
    assert quality["density"] == kept / allowed_positions
    assert (quality["mask_recall_ratio"], quality["captured_mass_ratio"]) == pytest.approx((recall, mass), abs=1e-4)
    assert quality["oracle"]["captured_mass_ratio"] == pytest.approx(best_mass, abs=1e-5)
    assert quality["output_rel_l2"] == pytest.approx(np.sqrt(squares[0] / squares[1]), abs=1e-4)
    assert quality["oracle"]["output_rel_l2"] == pytest.approx(np.sqrt(squares[2] / squares[3]), abs=1e-4)
