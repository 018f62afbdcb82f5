"""The printed result, on a run made by hand."""

import io
from dataclasses import replace
from typing import Any

import pytest

from dsasim.api import RunResult
from dsasim.baseline.dense import Baseline, IsoArea
from dsasim.baseline.peak import peak_of
from dsasim.config.loader import load_arch
from dsasim.cost.model import Cost
from dsasim.quality.measure import Quality, QualityFigures
from dsasim.report import figures
from dsasim.report.figures import gpu_basis
from dsasim.report.headline import headline
from dsasim.report.style import energy_text, new_console, time_text, times
from dsasim.report.text import print_result
from dsasim.sim.result import HeadReport, LayerReport, MachineResult, UnitReport
from dsasim.trace.attention import TraceMeta
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace


def machine(**changes: Any) -> MachineResult:
    """Two heads: 10 of 100 and 30 of 100 positions kept."""
    heads = (HeadReport(0, 600, 10, 0.1, 5, 4), HeadReport(1, 400, 30, 0.3, 15, 9))
    facts = {
        "cycles": 1000,
        "units": {
            "predictor": UnitReport(900, {"operand": 0, "dram": 60, "output_full": 40}, 0.1),
            "lane_0": UnitReport(100, {"imbalance": 900}, 0.1),
            "lane_1": UnitReport(100, {"imbalance": 900}, 0.1),
            "pe_array": UnitReport(200, {"bank_conflict": 300, "imbalance": 1500}, 0.08, instances=2),
            "dram": UnitReport(1000, {}, 1.0),
        },
        "counters": {},
        "layers": (LayerReport(13, 1000, 64, heads),),
        "invariants": {},
        "predictor_free": False,
    }
    return MachineResult(**{**facts, **changes})


def result(**changes: Any) -> RunResult:
    """A whole run."""
    quality = Quality(
        ours=QualityFigures(0.41, 0.33, 0.9),
        oracle=QualityFigures(1.0, 0.38, 0.7),
        random=QualityFigures(0.1, 0.09, 1.2),
        sink_window=QualityFigures(0.2, 0.19, 1.0),
        density=0.2,
    )
    facts = {
        "arch": load_arch("dsa-decoupled"),
        "trace": named("tiny", "A model"),
        "machine": machine(),
        "quality": quality,
        "cost": Cost(
            {"pe_array": 3000.0, "leakage": 1000.0, "total": 4000.0},
            {"pe_array": 0.25, "total": 0.25},
            {"pe_array": "x"},
        ),
        "baseline": Baseline(
            dense_cycles=2500,
            dense_attention_cycles=2500,
            dense_mapping="systolic",
            speedup_vs_dense=2.5,
            energy_vs_dense_ratio=3.0,
            iso_area=IsoArea(lanes=5, cycles=2000, dataflow="systolic", speedup_ratio=2.0),
            gpu=(),
            peak=peak_of(load_arch("dsa-decoupled")),
        ),
    }
    return RunResult(**{**facts, **changes})


def named(name: str, model: str) -> TraceMeta:
    """A trace of this name, of this model."""
    return replace(open_trace(find_trace("minilm-l128")).meta, name=name, model=model)


def printed(run: RunResult) -> str:
    """What a run prints into a pipe."""
    stream = io.StringIO()
    print_result(run, new_console(stream))
    return stream.getvalue()


def test_the_first_lines_are_the_answer() -> None:
    lines = printed(result()).split("\n")
    assert lines[0] == "dsa-decoupled on tiny (real, A model; layers 13; 2 heads)"
    first_words = [line.split()[0] for line in lines[1:9]]
    assert first_words == ["cycles", "speed-up", "at", "energy", "density", "captured", "mask", "output"]
    text = " ".join("\n".join(lines[1:9]).split())
    for part in (
        "1,000",
        "1 µs at 1 GHz",
        "2.50x",
        "against dense, same 256 MACs (systolic, 2,500 cycles)",
        "at equal area 2.00x against dense with 5 lanes in our area",
        "4 nJ",
        "dense takes 3.00x as much",
        "20.0 %",
        "0.330",
        "oracle 0.380 random 0.090 sink + window 0.190",
    ):
        assert part in text


def test_a_layer_says_what_attention_alone_gains() -> None:
    """Heads take 1000 of 4000 cycles, 2500 of 5500 on the dense machine."""
    ours = machine(cycles=4000)
    baseline = replace(result().baseline, dense_cycles=5500, speedup_vs_dense=1.375)
    text = " ".join(printed(result(machine=ours, baseline=baseline, scope="layer")).split())
    assert "speed-up 1.38x against dense" in text
    assert "2.50x for attention alone, 25.0 % of this run's cycles, 45.5 % of dense's" in text
    assert "attention alone" not in printed(result())


def test_each_unit_has_its_top_stall_and_lanes_are_summed() -> None:
    lines = [" ".join(line.split()) for line in printed(result()).split("\n")]
    assert "predictor 90.0 % 10.0 % DRAM 6.0 %" in lines
    assert "pe_array 10.0 % 8.0 % other lanes 75.0 %" in lines
    assert "dram 100.0 %" in lines
    assert not any("lane_0" in line for line in lines)


def test_energy_area_and_layers_are_there() -> None:
    lines = [" ".join(line.split()) for line in printed(result()).split("\n")]
    assert "pe_array 3 nJ 75.0 % 0.2500 100.0 %" in lines
    assert "leakage 1 nJ 25.0 %" in lines
    assert "total 4 nJ 100.0 % 0.2500 100.0 %" in lines
    assert "13 1,000 2 40 20 2.00x 13" in lines


def test_free_prediction_makes_a_bound() -> None:
    text = " ".join(printed(result(machine=machine(predictor_free=True))).split())
    assert "speed-up at most 2.50x" in text
    assert "at equal area at most 2.00x" in text
    assert "dense takes at most " in text
    assert "upper bounds: prediction is free of charge in this run" in text


def test_a_mask_has_no_quality() -> None:
    text = printed(result(quality=None))
    assert "captured mass" not in text
    assert "density" in text


def test_density_weighs_heads_by_their_allowed_positions() -> None:
    """Where quality was not measured too, and of heads that keep nothing: 40 of 200 and 40 of 300 are 80 of 500."""
    heads = machine().layers[0].heads
    empty = LayerReport(14, 1000, 64, (*heads, HeadReport(2, 10, 0, 0.0, 0, 0)), allowed=100)
    assert figures.density(result(quality=None).to_json()) == pytest.approx(0.2)
    two = result(quality=None, machine=machine(layers=(*machine().layers, empty)))
    assert figures.density(two.to_json()) == pytest.approx(80 / 500)


def test_a_layer_that_keeps_nothing_counts() -> None:
    """Its heads' densities do not tell how many positions it allows, so it says so; results of 0.1 do not."""
    nothing = LayerReport(14, 10, 64, (HeadReport(0, 10, 0, 0.0, 0, 0),), allowed=200)
    document = result(quality=None, machine=machine(layers=(*machine().layers, nothing))).to_json()
    assert "allowed" not in document["layers"][0]
    assert figures.density(document) == pytest.approx(40 / 400)
    del document["layers"][1]["allowed"]
    assert figures.density(document) is None
    assert "density" not in [line.name for line in headline(document)]


def test_nothing_is_wider_than_100_columns() -> None:
    long = named("t" * 60, "m" * 60)
    assert max(map(len, printed(result(trace=long)).split("\n"))) <= 100


def test_brackets_in_names_are_text() -> None:
    odd = named("[red]x[/red]", "[/]")
    assert "[red]x[/red]" in printed(result(trace=odd))


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "500 ps"), (1234.0, "1.234 µs"), (2.5e6, "2.5 ms"), (3e9, "3 s"), (0.0, "0 ps")]
)
def test_times_choose_their_unit(value: float, text: str) -> None:
    assert time_text(value) == text


def test_energies_choose_their_unit() -> None:
    assert energy_text(1234) == "1.234 nJ"
    assert energy_text(0.25) == "0.25 pJ"


@pytest.mark.parametrize(("ratio", "text"), [(2.5, "2.50x"), (12.34, "12.3x"), (0.5, "0.500x"), (1234.5, "1,234x")])
def test_factors_have_three_digits(ratio: float, text: str) -> None:
    assert times(ratio) == text


def test_notes_stand_under_the_title() -> None:
    lines = printed(result(notes=("synthetic: made by a rule",))).split("\n")
    assert lines[1] == "synthetic: made by a rule"
    assert "synthetic" not in printed(result())


def test_what_a_gpu_s_time_rests_on_is_said_by_its_weakest_part() -> None:
    assert gpu_basis("roofline", assumed=False, same_shape=True) == "roofline"
    assert gpu_basis("roofline", assumed=False, same_shape=False) == "other shape"
    assert gpu_basis("roofline", assumed=True, same_shape=True) == "assumed"
    assert gpu_basis("measured", assumed=False, same_shape=True) == "measured"
    assert gpu_basis("measured", assumed=False, same_shape=False) == "extrapolated"
