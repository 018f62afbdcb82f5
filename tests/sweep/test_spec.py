"""The YAML of a sweep: what it may say, and that everything wrong is said at once."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from dsasim.errors import ConfigError
from dsasim.sweep.spec import load_sweep_spec
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.masks import import_mask
from dsasim.trace.store import write_trace

LANES = ("pe_array", "lanes")


def test_lists_ranges_single_values_and_groups(spec: Callable) -> None:
    axes = spec(
        axes="{pe_array.lanes: {from: 1, to: 9, scale: log2}, predictor.rank: {from: 2, to: 7, step: 2}, "
        "mask_generator.density: {from: 0.1, to: 0.3, step: 0.1}, pe_array.bits: 8, "
        "pair: {softmax.exp_per_cycle: [4, 8], softmax.div_per_cycle: [2, 4]}}"
    ).axes
    assert [axis.values for axis in axes] == [
        ((1,), (2,), (4,), (8,)),
        ((2,), (4,), (6,)),
        ((Decimal("0.1"),), (Decimal("0.2"),), (Decimal("0.3"),)),
        ((8,),),
        ((4, 2), (8, 4)),
    ]
    assert axes[4].keys == (("softmax", "exp_per_cycle"), ("softmax", "div_per_cycle"))


def test_objectives_have_a_usual_sense_that_may_be_changed(spec: Callable) -> None:
    listed = spec(objectives="[EDP, captured_mass_ratio, counters.dram_read_bytes]").objectives
    assert [(metric.name, metric.sense) for metric in listed] == [
        ("edp", "min"),
        ("captured_mass_ratio", "max"),
        ("counters.dram_read_bytes", "min"),
    ]
    (turned,) = spec(objectives="{cycles: max}").objectives
    assert (turned.name, turned.sense) == ("cycles", "max")


def test_only_what_is_looked_at_is_computed(spec: Callable) -> None:
    assert not spec().needs("baseline")
    assert not spec().needs("quality")
    assert spec(objectives="[speedup_vs_dense]").needs("baseline")
    assert spec(constraints="[captured_mass_ratio > 0.5]").needs("quality")


def test_files_are_looked_for_beside_the_spec(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text((root / "arch_configs" / "dsa-edge.yaml").read_text())
    (tmp_path / "t.safetensors").symlink_to(root / "traces" / "minilm-l128.safetensors")
    path = tmp_path / "s.yaml"
    path.write_text("base: mine.yaml\ntraces: t.safetensors\naxes: {pe_array.lanes: 1}\nobjectives: cycles\n")
    monkeypatch.chdir("/")
    assert load_sweep_spec(path).base.values["name"] == "dsa-edge"


def test_the_fingerprint_is_of_what_decides_the_results(spec: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [
        {"axes": "{pe_array.lanes: [1, 2]}"},
        {"axes": "{pe_array.lanes: [2, 1]}"},
        {"base": "dsa-coupled"},
        {"objectives": "[cycles]"},
        {"objectives": "{cycles: max, area_mm2: min}"},
        {"constraints": "[cycles < 5]"},
        {"constraints": "[cycles < 6]"},
        *({"traces": f"{{trace: minilm-l128{which}}}"} for which in ("", ", layers: 2", ", heads: 0", ", heads: 2")),
        {"traces": "{trace: minilm-l128, layers: 3, heads: 0}"},
        {"traces": "{trace: minilm-l128, layers: 2, heads: [0, 1]}"},
        {"traces": "smollm2-l512"},
        *({"strategy": f"{{method: {how}}}"} for how in ("random, points: 2", "random, points: 3", "nsga2, points: 2")),
        {"strategy": "{method: random, points: 2, seed: 1}"},
    ]
    prints = {spec(**change).sha256 for change in ({}, *changes)}
    assert len(prints) == 1 + len(changes)
    assert spec().sha256 in prints
    monkeypatch.setattr("dsasim.__version__", "another")
    assert spec().sha256 not in prints


def test_a_head_must_be_in_every_layer_that_is_run(spec: Callable, tmp_path: Path) -> None:
    """Layers of 2 and 4 heads: head 3 is in one of them alone."""
    layers = [MaskArrays(n, np.full((heads, 8, 1), 255, np.uint8), 8, 8, heads, False) for n, heads in ((0, 2), (1, 4))]
    write_trace(tmp_path / "m.safetensors", layers, kind="mask", model="none", provenance={})
    assert spec(traces="{trace: m.safetensors, layers: 1, heads: 3}").traces[0].heads == (3,)
    with pytest.raises(ConfigError, match="m has no head 3; heads are 0 to 1"):
        spec(traces="{trace: m.safetensors, heads: 3}")


BAD = {
    "key": ({"axis": "{}"}, "s.yaml:5: axis: unknown key; did you mean axes?"),
    "missing": ({"objectives": None}, "objectives is missing"),
    "base": ({"base": "dsa-decopled"}, "s.yaml:1: base: no design named 'dsa-decopled'; did you mean 'dsa-decoupled'?"),
    "base kind": ({"base": "[1]"}, "base: must be the name of a shipped design or a file"),
    "trace": ({"traces": "minilm"}, "no shipped trace of this name; did you mean minilm-l128?"),
    "trace key": ({"traces": "{trace: minilm-l128, head: 1}"}, "unknown key head; a trace has trace, layers, heads"),
    "layer": ({"traces": "{trace: minilm-l128, layers: 6}"}, "minilm-l128 has no layer 6; it has 0, 1, 2, 3, 4, 5"),
    "head": ({"traces": "{trace: minilm-l128, heads: [12]}"}, "minilm-l128 has no head 12; heads are 0 to 11"),
    "heads": ({"traces": "{trace: minilm-l128, heads: all}"}, "heads must be whole numbers, such as [0, 3]"),
    "no traces": ({"traces": "[]"}, "traces: must name a trace"),
    "no axes": ({"axes": "{}"}, "axes: must be a mapping of dotted keys"),
    "axis": ({"axes": "{pe_array.lane: [1]}"}, "no such key of a design; did you mean pe_array.lanes?"),
    "value": (
        {"axes": "{pe_array.lanes: [1, 4096]}"},
        "axes.pe_array.lanes: 4096 is not a whole number from 1 to 1024",
    ),
    "true": ({"axes": "{mask_generator.density: [0.1, true]}"}, "density: true is not a number above 0, at most 1"),
    "ranks": ({"axes": "{dram.ranks: [1, 6]}"}, "axes.dram.ranks: 6 is not one of 1, 2, 4, 8"),
    "text": ({"axes": '{pe_array.lanes: ["4"]}'}, "write the number without quotes"),
    "choice": ({"axes": "{scheduler.order: [inorder]}"}, "is not one of in_order, reordered"),
    "section": ({"axes": "{buffers.k: [1]}"}, "1 is not a section"),
    "ambiguous": ({"axes": "{pe_array.lanes: [012]}"}, "different things to different YAML readers"),
    "empty": ({"axes": "{pe_array.lanes: []}"}, "axes.pe_array.lanes: has no values"),
    "group": (
        {"axes": "{g: {pe_array.lanes: [1, 2], predictor.rank: [1]}}"},
        "equally many values, here pe_array.lanes 2",
    ),
    "twice": ({"axes": "{pe_array.lanes: 1, g: {pe_array.lanes: [1]}}"}, "this key is in another axis too"),
    "range key": ({"axes": "{pe_array.lanes: {from: 1, until: 3}}"}, "unknown; a range has from, to, step, scale"),
    "range ends": ({"axes": "{pe_array.lanes: {from: 1}}"}, "a range needs the numbers from and to"),
    "fractions": (
        {"axes": "{mask_generator.density: {from: 0.1, to: 0.5}}"},
        "a range of fractions needs its step, such as {from: 0.1, to: 0.5, step: 0.4}",
    ),
    "backwards": ({"axes": "{pe_array.lanes: {from: 4, to: 1}}"}, "the range runs backwards, from 4 to 1"),
    "step": ({"axes": "{pe_array.lanes: {from: 1, to: 4, step: 0}}"}, "step must be above 0"),
    "log2 step": ({"axes": "{pe_array.lanes: {from: 1, to: 4, step: 2, scale: log2}}"}, "a log2 range doubles"),
    "endless": ({"axes": "{mask_generator.density: {from: 0, to: 1, step: 1e-9}}"}, "more than 10,000 values"),
    "constraint": ({"constraints": "[cycles = 3]"}, 'such as "area_mm2 < 5", not "cycles = 3"'),
    "no metric": ({"constraints": "[area_mm < 3]"}, "no metric area_mm; did you mean area_mm2?"),
    "text key": ({"constraints": "[scheduler.order < 3]"}, "no metric scheduler.order"),
    "objective": ({"objectives": "[cycle]"}, "objectives.0: no metric cycle; did you mean cycles?"),
    "counter": ({"objectives": "[counters.macs]"}, "no metric counters.macs; did you mean counters.macs_"),
    "sense": ({"objectives": "{cycles: least}"}, "objectives.cycles: must be min or max"),
    "same": ({"objectives": "[cycles, cycles]"}, "names one metric twice"),
    "none": ({"objectives": "[]"}, "must name a metric"),
    "method": ({"strategy": "greedy"}, "strategy: method must be one of grid, random, nsga2, tpe"),
    "points": ({"strategy": "random"}, "random needs points, a whole number from 1 to 1000000"),
    "grid seed": ({"strategy": "{method: grid, seed: 3}"}, "a grid runs every point"),
    "seed": ({"strategy": "{method: random, points: 2, seed: -1}"}, "seed must be a whole number from 0 to"),
}


@pytest.mark.parametrize(("keys", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_with_its_line(spec: Callable, keys: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec(**keys)
    assert message in str(error.value)
    assert "s.yaml:" in str(error.value)


def test_all_problems_at_once_in_reading_order(spec: Callable) -> None:
    with pytest.raises(ConfigError) as error:
        spec(base="nothing", axes="{pe_array.lanes: 0}", objectives="[fun]")
    assert [line.split(": ")[1].split(".")[0] for line in str(error.value).split("\n")] == [
        "base",
        "axes",
        "objectives",
    ]


def test_masks_alone_have_no_quality(spec: Callable, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((1, 1, 8, 8), bool))
    import_mask(tmp_path / "m.npy", 8, tmp_path / "m.safetensors")
    assert spec(traces="m.safetensors").traces[0].meta.kind == "mask"
    with pytest.raises(ConfigError, match="holds masks alone, so a run of it has no captured_mass_ratio"):
        spec(traces="m.safetensors", objectives="[captured_mass_ratio]")
