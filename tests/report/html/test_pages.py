"""Whole pages: the same bytes, nothing of the network, warnings first; and input that is none."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dsasim.errors import ConfigError
from dsasim.report.html.inputs import read_input
from dsasim.report.html.masks import mask_pictures, parse_heads
from dsasim.report.html.page import Page
from dsasim.report.html.parts import Card, Folded, Notes, PageSection, PageTable
from dsasim.report.html.run import run_page
from dsasim.report.html.sweep import sweep_page
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace

pytest.importorskip("plotly")


def test_the_same_result_is_the_same_page(seen: Any) -> None:
    once, again = (run_page(copy.deepcopy(seen.result), seen.over_time).html() for _ in range(2))
    assert once == again
    assert not re.search(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d", once.split("<script>")[0])
    assert str(Path.cwd()) not in once


def test_plotly_is_in_the_page_once_and_nothing_is_fetched(seen: Any) -> None:
    page = run_page(seen.result).html()
    assert page.count("plotly.js v") == 1
    assert 4_000_000 < len(page.encode()) < 6_000_000
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=", markup)
    assert "default-src 'none'" in markup


def test_warnings_stand_first(seen: Any) -> None:
    result = copy.deepcopy(seen.result) | {"notes": ["synthetic: <made> by a rule"], "predictor_free": True}
    result["invariants"]["bandwidth_at_most_peak"] = False
    page = run_page(result).html()
    summary = page[page.index("<h2>Summary") : page.index("<h2>Against")]
    assert summary.index("synthetic: &lt;made&gt; by a rule") < summary.index('class="cards"')
    assert summary.count('class="warning"') == 3
    assert "at most " in summary
    assert "10 of 11" in summary


def test_a_result_without_baselines_and_quality_has_a_page(seen: Any) -> None:
    page = run_page(seen.result | {"baseline": None, "quality": None}).html()
    assert "Against other machines" not in page


def test_a_sweep_s_page_lists_points_without_a_place(rows: Any) -> None:
    page = sweep_page(rows.grid()).html()
    assert "does not divide &lt;16&gt;" in page
    assert "its process died twice" in page
    assert page.count("<td>") > 0


def test_designs_are_folded_and_can_be_run(rows: Any) -> None:
    page = sweep_page(rows.grid()).html()
    (design,) = re.findall(r"<summary>lanes 8, order reordered</summary><pre>(.*?)</pre>", page, re.DOTALL)
    assert "name: dsa-decoupled" in design
    assert "<summary>lanes 3, order in_order</summary><pre>pe_array:\n  lanes: 3\n" in page


def test_a_front_table_says_what_it_leaves_out(rows: Any) -> None:
    """Each point is beaten by none: its time is better and its area worse than that of the point before it."""
    points = [rows.ran(at, {"pe_array.lanes": at}, {"cycles": 1000 - at, "area_mm2": at}) for at in range(53)]
    page = sweep_page(points).html()
    assert "53 of 53 points" in page
    assert "The table holds the 50 best by time; 3 more of the front are drawn only." in page
    assert len(re.findall(r"<summary>lanes \d+</summary>", page)) == 50
    assert "The table holds" not in sweep_page(points[:50]).html()


def test_a_figure_says_what_it_leaves_out(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsasim.report.html.front.MAX_POINTS", 1)
    assert (
        "Of the other points 1 are not drawn"
        in sweep_page(
            [rows.ran(at, {"pe_array.lanes": at}, {"cycles": at + 1, "area_mm2": at + 1}) for at in range(3)]
        ).html()
    )


def test_only_a_search_has_progress(rows: Any) -> None:
    assert "Progress of the search" not in sweep_page(rows.grid()).html()
    page = sweep_page(rows.search()).html()
    assert "Progress of the search on smollm2-l512" in page
    assert [label in page for label in (">hypervolume<", ">best time<", ">best captured mass<")] == [True] * 3


def test_text_is_escaped() -> None:
    parts = [Card("<a>", "<b>", "<c>"), Notes(["<d>"]), PageTable(["<e>"], [["<f>\n<g>"]]), Folded("<h>", "<i>")]
    html = "".join(part.html() for part in parts) + PageSection("<j>", "<k>").html()
    assert not re.search(r"<[a-k]>(?!\w*[A-Z])", html.replace("<b>&lt;", "").replace("<p>", ""))
    assert Page("</title><script>", []).html().split("<script>")[0].count("</title>") == 1


BAD_RUNS = {
    "not JSON": ("{", "not the result of a run"),
    "a list": ("[1, 2]", "not the result of a run"),
    "empty": ("", "not the result of a run"),
    "another JSON": ('{"a": 1}', "not the result of a run"),
    "a later schema": ('{"schema_version": 99}', "schema_version 99 is not one that this dsasim reads (1)"),
    "deep": ("[" * 100_000, "not the result of a run"),
    "nested 975 times": (f'{{"a": {"[" * 975}{"]" * 975}}}', "more than 64 brackets within each other"),
    "NaN": ('{"cycles": NaN}', "NaN is no number in JSON"),
}


@pytest.mark.parametrize(("text", "message"), BAD_RUNS.values(), ids=BAD_RUNS)
def test_what_is_not_a_result_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        read_input(str(path))
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


WRONG = {
    "a number in quotes": (
        ("units", "pe_array", "stall_cycles", "operand"),
        "8",
        "units.pe_array.stall_cycles.operand",
    ),
    "a truth for a number": (("cycles",), True, "cycles"),
    "cycles that its units did not have": (("cycles",), 1, "busy and stall cycles in a run of 1"),
    "a fraction of a cycle": (("layers", 0, "cycles"), 1.5, "layers.0.cycles"),
    "no notes": (("notes",), None, "notes"),
    "notes of another kind": (("notes",), [1], "notes.0"),
    "a design that cannot be": (("arch", "pe_array", "lanes"), 0, "arch: pe_array.lanes"),
    "a unit without instances": (("units", "dma", "instances"), 0, "units.dma: instances must be at least 1"),
    "a source of another kind": (("cost_sources", "dram"), [1], "cost_sources.dram"),
    "more units than there are": (("units", "dma", "instances"), 10**18, "units.dma.instances: 1e+18 is beyond what a"),
    "a density near nothing": (("layers", 0, "heads", 0, "density"), 5e-324, "layers.0.heads.0.density: 4.94e-324 is"),
    "a dataflow that nobody has": (("baseline", "dense_mapping"), "<b>x", "baseline.dense_mapping"),
    "a basis of another name": (("baseline", "gpu", 0, "basis"), "x", "baseline.gpu.0.basis"),
    "a name that acts": (("arch", "name"), "\x1b[31m", "arch: name: holds the character"),
    "a law of another kind": (("invariants", "layers_sum_to_total"), 1, "invariants.layers_sum_to_total"),
}


@pytest.mark.parametrize(("place", "value", "message"), WRONG.values(), ids=WRONG)
def test_a_value_of_another_kind_is_named(
    tmp_path: Path, seen: Any, place: tuple[str | int, ...], value: object, message: str
) -> None:
    result = copy.deepcopy(seen.result)
    *sections, name = place
    at = result
    for section in sections:
        at = at[section]
    at[name] = value
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_input(str(path))


def test_a_key_of_half_a_character_is_refused(tmp_path: Path, seen: Any) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(seen.result | {"\ud800": 1}), encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be printed"):
        read_input(str(path))


@pytest.mark.parametrize("key", ["arch", "units", "layers", "energy_pj", "counters", "baseline"])
def test_a_result_with_a_part_missing_names_it(tmp_path: Path, seen: Any, key: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({name: value for name, value in seen.result.items() if name != key}), encoding="utf-8")
    with pytest.raises(ConfigError, match=key):
        read_input(str(path))


@pytest.mark.parametrize(
    "path", ["energy_pj.total", "units.pe_array.busy_cycles", "layers.0.heads.0.nnz", "baseline.iso_area"]
)
def test_a_result_with_a_number_missing_names_it(tmp_path: Path, seen: Any, path: str) -> None:
    result = copy.deepcopy(seen.result)
    *sections, name = path.split(".")
    at = result
    for section in sections:
        at = at[int(section) if section.isdigit() else section]
    del at[name]
    file = tmp_path / "r.json"
    file.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"{re.escape(sections[0])}.*{name}"):
        read_input(str(file))


@pytest.mark.parametrize(("key", "value"), [("changes", "a=1"), ("changes", [1]), ("part", {"of_layers": "2"})])
def test_remarks_of_another_type_are_refused(tmp_path: Path, seen: Any, key: str, value: Any) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(seen.result | {key: value}), encoding="utf-8")
    with pytest.raises(ConfigError, match=key):
        read_input(str(path))


def test_a_result_reads_back(tmp_path: Path, seen: Any) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(seen.result), encoding="utf-8")
    assert read_input(str(path)) == seen.result


def test_sweeps_read_back_but_for_a_torn_line(tmp_path: Path, rows: Any) -> None:
    """Axes, objectives and what is said of a point are held; the design is read again when asked for."""
    path = tmp_path / "results.jsonl"
    whole = rows.written(rows.grid())
    path.write_bytes(whole + whole[:50])
    found = read_input(str(tmp_path))
    assert found == read_input(str(path))
    for row, written in zip(found, rows.grid(), strict=True):
        assert row == {key: written[key] for key in row}
        assert {"point", "status", "axes", "trace", "reason"} <= row.keys()
        if "objectives" in written:
            assert row["arch"] == written["arch"]
    assert sweep_page(found).html() == sweep_page(rows.grid()).html()


def test_rows_that_change_while_a_page_is_made_are_found_out(tmp_path: Path, rows: Any) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(rows.written(rows.grid()))
    found = read_input(str(path))
    path.write_bytes(path.read_bytes().replace(b"reordered", b"in__order"))
    with pytest.raises(ConfigError, match="jsonl:6: has changed while it was read"):
        found[5]["arch"]


def test_sweeps_that_cannot_be_drawn(tmp_path: Path, rows: Any) -> None:
    path = tmp_path / "results.jsonl"
    refused = rows.refused(0, {"a": 1}, "failed", "its process died twice")
    first, second = (refused | {"point": at, "sweep_sha256": "ab"[at]} for at in range(2))
    whole = rows.written([refused])
    for text, message in (
        (b"", "holds no points"),
        (b"\n", "1: is not a row of a sweep"),
        (b'{"point":1,"a":2}\n', "1: is not a row of a sweep: it has no digest"),
        (whole.replace(b"twice", b"once"), "1: is not a row as a sweep wrote it: its digest is that of another text"),
        (b"[" * 100_000 + b"\n", "1: is not a row of a sweep"),
        (rows.written([{"point": [1]}]), "1: is not a row of a sweep: it begins with no point's number"),
        (rows.written([{"point": 1, "reason": ""}]), "axes"),
        (whole + whole, "2: point 0 has a row already"),
        (rows.written([first, second]), "2: its rows are of several sweeps"),
        (rows.written([refused | {"schema_version": 2}]), "schema_version 2"),
        (rows.written([refused | {"axes": {"a": 1, "a.b": 2}}]), "a and a part of it both have a value"),
        (rows.written([refused | {"axes": {"a": [1]}}]), "axes.a"),
        (rows.written([refused | {"status": "ok"}]), "status"),
        (rows.written([refused]), "none of its 1 points ran; the first reason: its process died twice"),
    ):
        path.write_bytes(text)
        with pytest.raises(ConfigError, match=re.escape(message)) as caught:
            read_input(str(tmp_path))
        assert str(caught.value).startswith(str(path))
    path.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        read_input(str(tmp_path))


def test_rows_of_several_kinds_are_refused(tmp_path: Path, rows: Any) -> None:
    points = [rows.ran(0, {"a": 1}, {"cycles": 1.0}), rows.ran(1, {"a": 2}, {"area_mm2": 1.0})]
    (tmp_path / "results.jsonl").write_bytes(rows.written(points))
    with pytest.raises(ConfigError, match="differ in their objectives"):
        read_input(str(tmp_path))


def test_a_sweep_of_designs_without_the_objective_is_refused(rows: Any) -> None:
    with pytest.raises(ConfigError, match="has all its objectives"):
        sweep_page([rows.ran(0, {"a": 1}, {"cycles": None})])


def test_heads_to_show() -> None:
    trace = open_trace(find_trace("smollm2-l512"))
    assert parse_heads("13:0, 24:8,13:0:0", trace) == [(13, 0, 0), (24, 8, 0)]
    for text, message in (
        ("13", "expected LAYER:HEAD"),
        ("13:0:0:0", "expected LAYER:HEAD"),
        ("1:0", "no layer 1; it has 4, 13, 24"),
        ("13:9", "0 to 8"),
        ("13:0:1", "no sequence 1; it has 0 to 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_heads(text, trace)


def test_masks_of_another_trace_are_refused(seen: Any) -> None:
    with pytest.raises(ConfigError, match="the run was on another trace, smollm2-l512"):
        mask_pictures(seen.result, "minilm-l128", None)
