"""Each figure: valid for Plotly, and its numbers are the result's."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsasim.api import load_trace
from dsasim.config.schema import ArchConfig
from dsasim.masks import KeepMask
from dsasim.model.dram_preset import peak_bytes_per_cycle
from dsasim.report.html import beside, costs, front, heads, masks, quantities, roofline, sensitivity, units
from dsasim.report.html.figure import Figure, log_axis, templates
from dsasim.report.html.inputs import read_input
from dsasim.report.html.parts import Chart, Choice
from dsasim.report.html.points import axes_of, groups, overrides_yaml
from dsasim.report.html.progress import hypervolume_shares, progress_charts
from dsasim.report.html.run import run_page
from dsasim.report.html.sweep import sweep_page
from dsasim.report.style import COLOURS
from dsasim.sim.result import STALL_REASONS


def charts(page: Any) -> list[Chart]:
    """All charts of a page."""
    parts = [part for section in page.sections for part in section.parts]
    found = [each for part in parts for each in (part.charts if isinstance(part, Choice) else [part])]
    return [each for each in found if isinstance(each, Chart)]


def valid(figure: Figure) -> None:
    """Plotly knows every name in the figure and takes every value."""
    go = pytest.importorskip("plotly.graph_objects")
    go.Figure(figure)


def test_plotly_takes_every_figure(seen: Any, rows: Any) -> None:
    layered = copy.deepcopy(seen.result)
    layered["layers"][0]["dense_cycles"] = {"up": 10, "down": 20}
    pictures = masks.mask_pictures(seen.result, "smollm2-l512", None)
    pages = [run_page(layered, seen.over_time, pictures), sweep_page(rows.grid())]
    found = [chart for page in pages for chart in charts(page)]
    assert len({chart.key for chart in found}) == len(found) > 30
    for chart in found:
        valid(chart.figure)
        json.dumps(chart.figure, allow_nan=False)
    go = pytest.importorskip("plotly.graph_objects")
    for template in templates().values():
        go.layout.Template(template)


def test_every_owner_of_a_cycle_has_its_own_colour() -> None:
    assert set(COLOURS) == {"busy", *STALL_REASONS}
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_cycles_of_each_unit_sum_to_all(seen: Any) -> None:
    figure = units.unit_cycles(seen.result)
    np.testing.assert_allclose(np.sum([trace["x"] for trace in figure["data"]], axis=0), 100, atol=0.05)
    busy = dict(zip(figure["data"][0]["y"], figure["data"][0]["customdata"], strict=True))
    assert busy["pe_array"] == seen.result["units"]["pe_array"]["busy_cycles"]
    assert "lane_0" not in busy and "dma" not in busy and "dma_k" in busy


def test_owners_over_time_sum_to_all_in_every_stretch(seen: Any) -> None:
    figure = units.owners_over_time(seen.over_time, "softmax")
    np.testing.assert_allclose(np.sum([trace["y"] for trace in figure["data"]], axis=0), 100, atol=0.05)


def test_every_component_is_in_the_cost_figures(seen: Any) -> None:
    energy = seen.result["energy_pj"] | {"novel": 5e6, "total": seen.result["energy_pj"]["total"] + 5e6}
    figure = costs.energy_figure(energy)
    assert {trace["name"] for trace in figure["data"]} == {name for name, cost in energy.items() if cost} - {"total"}
    assert math.isclose(sum(trace["x"][0] for trace in figure["data"]), energy["total"] / 1e6)
    table = costs.cost_table(energy, seen.result["area_mm2"])
    assert table.rows[-1][0] == "total"
    assert [row[0] for row in table.rows[:-1]] == sorted(
        {*energy, *seen.result["area_mm2"]} - {"total"}, key=lambda name: (-energy.get(name, 0), name)
    )


def test_roofs_are_the_design_s(seen: Any) -> None:
    arch = ArchConfig.model_validate(seen.result["arch"])
    roof, *points = roofline.roofline(seen.result, seen.over_time)["data"]
    assert roof["y"][1:] == [arch.macs, arch.macs]
    assert math.isclose(roof["x"][1] * float(peak_bytes_per_cycle(arch)), arch.macs)
    assert math.isclose(roof["y"][0] / roof["x"][0], float(peak_bytes_per_cycle(arch)))
    assert [trace["name"] for trace in points] == ["a head", "attention of a layer", "the run"]
    for trace in points:
        for x, y in zip(trace["x"], trace["y"], strict=True):
            assert y <= min(arch.macs, x * float(peak_bytes_per_cycle(arch)))


def test_bytes_of_heads_and_layers_are_the_run_s(seen: Any) -> None:
    """What a head alone wants and its share of the rest sum to the layer, the layers to the run."""
    macs = {name: seen.result["counters"][name] for name in ("macs_sddmm", "macs_spmm")}
    moved = seen.result["counters"]["dram_read_bytes"] + seen.result["counters"]["dram_write_bytes"]
    per_position = 2 * load_trace("smollm2-l512").layer(13).d_head
    nnz = {
        f"layer {layer['layer']} head {head['head']}": head["nnz"]
        for layer in seen.result["layers"]
        for head in layer["heads"]
    }
    found = [per_position * nnz[name] / x for name, x, _ in roofline.head_points(seen.result, seen.over_time)]
    assert len(found) == 6
    layers = [x for _, x, _ in roofline.layer_points(seen.result, seen.over_time)]
    assert math.isclose(sum(macs.values()) / 2 * sum(1 / x for x in layers), sum(found))
    assert math.isclose(sum(found), moved, rel_tol=1e-3)  # but for bursts that two transfers share


def test_a_json_alone_has_the_run_s_point_only(seen: Any) -> None:
    assert [trace["name"] for trace in roofline.roofline(seen.result, None)["data"]][1:] == ["the run"]
    page = run_page(seen.result).html()
    assert "dsasim run --report" in page
    assert "busy-over-time" not in page


def test_log_axes_have_ticks_of_one_two_and_five() -> None:
    assert log_axis("a", "b", 3, 60)["ticktext"] == ["5", "10", "20", "50"]
    assert log_axis("a", "b", 0.5, 5000)["ticktext"] == ["1", "10", "100", "1k"]


def test_heat_maps_leave_heads_that_did_not_run_blank(seen: Any) -> None:
    result = copy.deepcopy(seen.result)
    del result["layers"][0]["heads"][1]
    trace = heads.head_map(result, "cycles")["data"][0]
    assert (trace["x"], trace["y"]) == ([0, 1, 5], ["13", "24"])
    assert trace["z"][0][1] is None
    assert trace["z"][1][2] == result["layers"][1]["heads"][2]["cycles"]


def test_a_mask_in_cells() -> None:
    """L = 512 is 128 x 128 cells of 4 x 4; the diagonal cell allows 10 positions of 16, the one above none."""
    layer = load_trace("smollm2-l512").layer(13)
    keep = np.zeros((512, 512), dtype=np.bool_)
    keep[4:8, 4] = True
    keep[511, 0] = True
    shown = masks.picture(layer, 0, KeepMask.from_dense(keep))
    assert (shown.cell, shown.kept.shape) == (4, (128, 128))
    assert math.isclose(shown.kept[1, 1], 4 / 10)
    assert shown.kept[127, 0] == 1 / 16
    assert math.isnan(shown.kept[0, 1])
    assert np.nansum(shown.kept) == 4 / 10 + 1 / 16
    assert masks.mask_figure(shown)["data"][0]["z"][0][1] is None


def test_masks_of_a_run_keep_what_it_kept(seen: Any) -> None:
    picture = masks.mask_pictures(seen.result, "smollm2-l512", "24:5")[0]
    allowed = np.add.outer(np.arange(128), -np.arange(128))  # cells of 4 x 4 under the causal mask
    sizes = np.where(allowed > 0, 16, np.where(allowed == 0, 10, 0))
    assert round(np.nansum(picture.kept * sizes)) == seen.result["layers"][1]["heads"][2]["nnz"]


def test_baselines_and_gpus(seen: Any) -> None:
    bars = beside.baseline_cycles(seen.result)["data"][0]
    baseline = seen.result["baseline"]
    assert bars["x"] == [baseline["dense_cycles"], baseline["iso_area"]["cycles"], seen.result["cycles"]]
    result = copy.deepcopy(seen.result)
    gpu = {"gpu": "H100 <PCIe>", "time_ns": 12345.6, "speedup_ratio": 0.5, "peak_normalised_ratio": None}
    result["baseline"]["gpu"] = [gpu | {"detail": {"nested": 1}}]
    table = beside.gpu_table(result["baseline"]["gpu"])
    assert table.columns == ["gpu", "time ns", "speedup ratio", "peak normalised ratio"]
    assert table.rows == [["H100 <PCIe>", "12,346", "0.5", ""]]
    assert "H100 &lt;PCIe&gt;" in run_page(result).html()
    result["baseline"]["iso_area"] = None
    assert len(beside.baseline_cycles(result)["data"][0]["x"]) == 2


def test_quality_figure_has_the_result_s_numbers(seen: Any) -> None:
    figure = beside.quality_figure(seen.result["quality"])
    assert figure["data"][0]["y"][0] == seen.result["quality"]["captured_mass_ratio"]
    assert figure["data"][1]["y"][1] == 1.0  # the oracle's recall


def test_keys_that_go_together_are_one_axis(rows: Any) -> None:
    axes = [{"a.k.bytes": size, "a.v.bytes": size, "b": b, "c": 1} for size in (4, 8) for b in ("x", None)]
    found = axes_of([rows.ran(at, each, {"cycles": 1.0}) for at, each in enumerate(axes)])
    assert [axis.keys for axis in found] == [("a.k.bytes", "a.v.bytes"), ("b",)]
    assert [axis.labels for axis in found] == [("4", "8"), ("x", "none")]
    assert [axis.short_keys for axis in found] == [("k.bytes", "v.bytes"), ("b",)]


def test_yaml_of_a_point_is_what_a_design_file_has(rows: Any) -> None:
    row = rows.ran(0, {"buffers.k.bytes": 4096, "buffers.k.banks": 8, "dram.page": None}, {"cycles": 1.0})
    assert overrides_yaml(row) == "buffers:\n  k:\n    bytes: 4096\n    banks: 8\ndram:\n  page: null"


def test_effects_and_spreads_by_hand(rows: Any) -> None:
    """Cycles by lanes: 540 and 500, 290 and 250, 165 and 125: medians 520, 270, 145."""
    group = groups(rows.grid())[0]
    lanes, order = axes_of(rows.grid()[:6])
    cycles = group.metrics[0]
    assert sensitivity.effect(group, lanes, cycles) == 520 / 145
    assert sensitivity.effect(group, order, cycles) == 290 / 250
    box, line = sensitivity.over_axis(group, lanes, cycles)["data"]
    assert (box["lowerfence"], box["q1"], line["y"]) == ([500, 250, 125], [510, 260, 135], [520, 270, 145])
    assert line["text"] == ["2 points"] * 3


def test_the_front_by_hand(rows: Any) -> None:
    """Reordered points beat those in order in cycles, but not in EDP; point 1 breaks a constraint."""
    group = groups(rows.grid())[0]
    assert [row["point"] for row in group.front] == [5, 4, 3, 2, 0]
    figure = front.front_figure(group, group.metrics[0], group.metrics[1])
    named = {trace["name"]: trace for trace in figure["data"]}
    assert named["Pareto front"]["x"] == [125, 165, 250, 290, 540]
    assert named["breaks a constraint"]["x"] == [500]
    assert "beaten" not in named
    text = named["Pareto front"]["text"][0]
    assert text.startswith("<b>point 5</b><br>time: 125 cycles<br>area: 8 mm²")
    assert "order: reordered" in text.replace(" ", " ")
    assert [(x.name, y.name) for x, y in front.pairs(group.metrics)] == [
        ("cycles", "area_mm2"),
        ("cycles", "edp"),
        ("area_mm2", "edp"),
    ]


def test_traces_and_selections_are_not_compared_with_each_other(tmp_path: Path, rows: Any) -> None:
    """As many heads are not the same heads."""
    two = [rows.ran(0, {"a": 1}, {"cycles": 5.0}), rows.ran(1, {"a": 2}, {"cycles": 6.0})]

    def names() -> list[tuple[str, int]]:
        (tmp_path / "results.jsonl").write_bytes(rows.written(two))
        return [(group.name, len(group.front)) for group in groups(read_input(str(tmp_path)))]

    assert names() == [("smollm2-l512", 1)]
    two[1]["trace"] = two[1]["trace"] | {"name": "other"}
    assert names() == [("smollm2-l512", 1), ("other", 1)]
    two[1]["trace"] = two[0]["trace"]
    two[1]["layers"] = two[1]["layers"][:1]
    assert names() == [("smollm2-l512, layers 13, 24, heads 0, 1, 5", 1), ("smollm2-l512, layers 13, heads 0, 1, 5", 1)]
    for row, head in zip(two, (3, 4), strict=True):
        row["layers"] = copy.deepcopy(row["layers"][:1])
        row["layers"][0]["heads"] = [row["layers"][0]["heads"][0] | {"head": head}]
    assert [name for name, _ in names()] == [f"smollm2-l512, layers 13, heads {head}" for head in (3, 4)]


@pytest.mark.parametrize(
    ("metric", "words", "unit"),
    [
        ("energy_pj", "energy", "µJ"),
        ("counters.dram_read_bytes", "dram read", "bytes"),
        ("counters.k_vector_reads", "k vector reads", "count"),
    ],
)
def test_every_metric_has_a_unit(metric: str, words: str, unit: str) -> None:
    found = quantities.quantity(metric)
    assert (found.words, found.unit) == (words, unit)


def test_objectives_that_span_much_are_shown_in_logarithms(rows: Any) -> None:
    points = [rows.ran(at, {"a": at}, {"cycles": cycles, "area_mm2": 1.0 + at}) for at, cycles in enumerate((100, 900))]
    group = groups(points)[0]
    layout = front.front_figure(group, *group.metrics)["layout"]
    assert layout["xaxis"]["type"] == "log"
    assert layout["xaxis"]["ticktext"] == ["100", "200", "500", "1k"]
    assert "type" not in layout["yaxis"]


def test_a_search_s_progress_is_in_the_order_asked(rows: Any) -> None:
    """By hand, in base 2: asked for were (200, 0.4), (400, 0.5), one that breaks a constraint, and (100, 0.8).

    The worst are 400 and 0.4, so the first two dominate nothing and the last one log 4 by log 2.
    """
    (group,) = groups(rows.search())
    assert hypervolume_shares(group) == ([1, 2, 4], [0.0, 0.0, 1.0])
    charts = progress_charts(group)
    assert list(charts) == ["hypervolume", "best time", "best captured mass"]
    assert charts["hypervolume"]["data"][0]["y"] == [0.0, 0.0, 100.0]
    each, best = charts["best captured mass"]["data"]
    assert (each["x"], each["y"]) == ([1, 2, 3, 4], [0.4, 0.5, 0.9, 0.8])
    assert (best["x"], best["y"]) == ([1, 2, 4], [0.4, 0.5, 0.8])
    assert charts["best time"]["data"][1]["y"] == [200.0, 200.0, 100.0]


def test_the_way_an_objective_goes_is_the_spec_s(rows: Any) -> None:
    found = [row | {"senses": {"cycles": "max", "captured_mass_ratio": "max"}} for row in rows.search()]
    (group,) = groups(found)
    assert [metric.sense for metric in group.metrics] == ["max", "max"]
    assert [row["point"] for row in group.front] == [0, 1]
    (usual,) = groups(rows.search())
    assert [row["point"] for row in usual.front] == [1]
