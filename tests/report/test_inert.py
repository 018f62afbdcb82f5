"""Nothing that is shown acts: every table, page and picture with a hostile text wherever one can stand."""

import ast
import copy
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hostile import HOSTILE, acts, check_label, check_page, check_text, poisoned, strings

from dsasim.api import load_arch, load_trace, simulate
from dsasim.config.loader import ShippedArch, list_archs
from dsasim.evaluate.result import Evaluation, EvaluationPoint
from dsasim.model.dram_memory import MemoryUse
from dsasim.model.dram_preset import find_preset
from dsasim.quality.overlap import HeadOverlap, LayerOverlap
from dsasim.report import dram, files
from dsasim.report.compare import print_comparison
from dsasim.report.console import PlainConsole
from dsasim.report.evaluation import evaluation_json, evaluation_svg, print_evaluation
from dsasim.report.html.label import Markup, hover, label, lines, shown
from dsasim.report.html.masks import mask_pictures
from dsasim.report.html.page import Page
from dsasim.report.html.parts import Card, Cards, Chart, Choice, Folded, Heading, Notes, PageSection, PageTable
from dsasim.report.html.run import run_page
from dsasim.report.html.sweep import sweep_page
from dsasim.report.html.units import owners_over_time
from dsasim.report.listing import print_archs, print_trace_info
from dsasim.report.overlap import Comparison, overlap_json, overlap_svg, print_overlap
from dsasim.report.progress import LateProgress
from dsasim.report.say import say
from dsasim.report.style import new_console
from dsasim.report.sweep import print_answer, print_sweep
from dsasim.report.text import print_result
from dsasim.report.validation import print_validation
from dsasim.report.validation_page import validation_page
from dsasim.sim.over_time import OverTime
from dsasim.sweep.metrics import METRICS
from dsasim.sweep.query import QueryResult
from dsasim.sweep.row import Outcome
from dsasim.sweep.runner import SweepResult
from dsasim.trace.info import trace_info
from dsasim.validate.check import Check, CheckTable
from dsasim.validate.result import Validation

PACKAGE = Path(files.__file__).parent.parent


@pytest.fixture(scope="module")
def run() -> Any:
    """One head that ran, with a hostile trace, unit, component and note; its design is read again, and cannot be."""
    over_time = OverTime()
    result = simulate(load_arch("dsa-decoupled"), load_trace("smollm2-l512"), [13], [0], watchers=[over_time])
    meta = replace(result.trace, name=HOSTILE, model=HOSTILE)
    machine = replace(result.machine, units={**result.machine.units, HOSTILE: result.machine.units["softmax"]})
    cost = replace(result.cost, energy_pj={**result.cost.energy_pj, HOSTILE: 1e9})
    return SimpleNamespace(
        result=replace(result, trace=meta, machine=machine, cost=cost, notes=(HOSTILE,)),
        values=json.loads(json.dumps(result.to_json())),
        over_time=over_time,
        trace=result.trace,
    )


def called(arch: Any) -> Any:
    """A design with a name that none can have: no reader lets it in, so it is put there."""
    return arch.model_copy(update={"name": HOSTILE})


def printed(show: Callable[..., None], *arguments: Any) -> str:
    out = io.StringIO()
    show(*arguments, new_console(out))
    return out.getvalue()


# ------------------------------------------------------------------------------------------------------------ consoles
def test_results(run: Any) -> None:
    check_text(printed(print_result, run.result), times=3)
    check_text(printed(print_comparison, [run.result] * 2), times=4)


def test_listings(run: Any) -> None:
    shipped = list_archs()[0]
    text = printed(print_archs, (ShippedArch(HOSTILE, shipped.path, HOSTILE),))
    assert not acts(text)
    trace = load_trace("smollm2-l512")
    info = trace_info(trace)
    facts = {
        HOSTILE: HOSTILE,
        "pattern": [HOSTILE],
        "layers": [{"number": 13, "attention": HOSTILE}],
        "n": {HOSTILE: 1},
    }
    meta = replace(info.meta, name=HOSTILE, model=HOSTILE, provenance=facts)
    text = printed(print_trace_info, replace(info, meta=meta))
    assert not acts(text)
    assert r"\nforged" in text  # a value is one line


def test_sweeps() -> None:
    axis = SimpleNamespace(keys=((HOSTILE,),), values=((HOSTILE,), (1,)))
    meta = SimpleNamespace(name=HOSTILE, kind="synthetic", provenance={"pattern": HOSTILE})
    spec = SimpleNamespace(
        name=HOSTILE, axes=(axis,), objectives=(METRICS["cycles"],), traces=(SimpleNamespace(meta=meta),)
    )
    space = SimpleNamespace(num_points=2, point=lambda at: SimpleNamespace(axes={HOSTILE: HOSTILE}))
    found = {
        0: Outcome("ok", (1.0,), ""),
        1: Outcome("failed", None, HOSTILE.replace("\n", "")),
        2: Outcome("ok", (1.0,), ""),
    }
    out = io.StringIO()
    print_sweep(SweepResult(spec, space, found, 2, 1.0), Path(HOSTILE), new_console(out))
    assert not acts(out.getvalue())
    assert out.getvalue().count(r"x\x1b[31m") >= 3
    check_text(printed(print_answer, QueryResult((HOSTILE,), ((HOSTILE,), (None,)))), times=0)


def test_memories() -> None:
    preset = find_preset("DDR4_2400")
    assert not acts(printed(dram.print_preset, HOSTILE, preset))
    result = SimpleNamespace(
        requests=1, time_ns=1.0, cycles_drained=1, bandwidth_gbps=1.0, wrapped_requests=0, reads=1, row_hits=1,
        row_misses=0, row_conflicts=0, latency_histogram=[], avg_read_latency_cycles=1.0,
        commands={"forwarded_reads": 0, "merged_writes": 0},
        channels=[dict.fromkeys(("act", "pre", "rd", "wr", "ref", "active_cycles", "idle_cycles"), 1)],
    )  # fmt: skip
    use = MemoryUse(HOSTILE, 1, 1, True, HOSTILE)
    check_text(printed(dram.print_replay, result, HOSTILE, preset, use), times=3)


def test_progress_and_said_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("dsasim.report.progress.SHOWN_AFTER_SECONDS", -1)
    out = io.StringIO()
    console = PlainConsole(file=out, force_terminal=True, width=300)
    with LateProgress(HOSTILE, console, "points") as bar:
        bar(1, 2)
    assert not acts(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", out.getvalue()))
    assert r"x\x1b[31m" in out.getvalue() and "[bold]y[/bold]" in out.getvalue()
    say(HOSTILE)
    say(HOSTILE, err=True)
    for text in capsys.readouterr():
        check_text(text)
        assert text.count("\n") == 1


def test_a_terminal_gets_no_colour_of_a_stranger_s() -> None:
    out = io.StringIO()
    PlainConsole(file=out, force_terminal=True, markup=False, highlight=False).print(HOSTILE, style="bold")
    assert set(re.findall(r"\x1b\[[0-9;]*m", out.getvalue())) <= {"\x1b[1m", "\x1b[0m"}


def test_json_on_a_terminal_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    value = {HOSTILE.replace("\ud800", ""): [HOSTILE]}
    files.write_json("-", "--json", value)
    text = capsys.readouterr().out
    assert not acts(text)
    assert json.loads(text) == value
    files.write_text("-", "--plot", f"a\n{HOSTILE}")
    assert not acts(capsys.readouterr().out)


# ----------------------------------------------------------------------------------------------- several forms of each
def overlap(run: Any) -> Comparison:
    meta = replace(run.trace, name=HOSTILE, kind=HOSTILE, model=HOSTILE)
    trace: Any = SimpleNamespace(meta=meta, masks_only=True, __iter__=lambda: iter(()))
    layers = (LayerOverlap(3, (HeadOverlap(0, 0.5, 0.1, 0.2, 0.2),)),)
    return Comparison(trace, trace, called(load_arch("dsa-decoupled")), layers)


def test_overlaps(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsasim.report.overlap.run_notes", lambda arch, trace: (HOSTILE,))
    found = overlap(run)
    check_text(printed(print_overlap, found), times=4)
    check_page(overlap_svg(found), times=4)
    ET.fromstring(overlap_svg(found))
    assert strings(overlap_json(found)).count(HOSTILE) >= 4


def test_evaluations() -> None:
    figures: dict[str, float] = {HOSTILE: 17.0, "b": 0.5}
    points = (
        EvaluationPoint("dense", Decimal(1), 1.0, figures),
        EvaluationPoint("random", Decimal("0.1"), 0.1, figures, 30, 2.5),
    )
    found = Evaluation(HOSTILE, "cosine", HOSTILE, HOSTILE, (0,), 3, 4, 128, HOSTILE, points, (HOSTILE,))
    check_text(printed(print_evaluation, found), times=5)
    check_page(evaluation_svg(found), times=4)
    ET.fromstring(evaluation_svg(found))
    assert evaluation_json(found)["model"] == HOSTILE


def test_validations(run: Any) -> None:
    table = CheckTable(HOSTILE, (HOSTILE, "b"), ((HOSTILE, 1.0),), data=HOSTILE)
    figures = {"rel_l2": 0.5, "gated": 0.5}
    checks = (
        Check("n", HOSTILE, "failed", HOSTILE, 0.1, figures, (table, replace(table, detail=True))),
        Check(HOSTILE, HOSTILE, "skipped", HOSTILE),
    )
    about = dict.fromkeys(("name", "driver", HOSTILE), HOSTILE)
    meta = replace(run.trace, name=HOSTILE, model=HOSTILE, provenance={HOSTILE: {HOSTILE: HOSTILE}, "weights": HOSTILE})
    found = Validation(
        HOSTILE, "0" * 64, meta, {3: [0]}, HOSTILE, {"dsasim": HOSTILE, HOSTILE: "1"}, checks, about, notes=(HOSTILE,)
    )
    assert not acts(printed(print_validation, found))
    page = validation_page(found)
    check_page(page, times=10)
    assert "<script" not in page


# --------------------------------------------------------------------------------------------------------------- pages
PARTS = (
    Cards([Card(HOSTILE, HOSTILE, HOSTILE)]),
    Notes([HOSTILE]),
    Notes([HOSTILE], warning=True),
    Chart(
        HOSTILE, {"data": [{"name": HOSTILE, "text": [HOSTILE]}], "layout": {"height": 1, "title": {"text": HOSTILE}}}
    ),
    Choice(HOSTILE, [Chart("b", {"data": [], "layout": {"height": 1}}, HOSTILE)]),
    PageTable([HOSTILE], [[HOSTILE], [Folded(HOSTILE, HOSTILE)]], [HOSTILE]),
    Folded(HOSTILE, HOSTILE),
    Heading(HOSTILE),
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_every_part_of_a_page(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsasim.report.html.page._plotly_js", lambda: "")
    check_page(Page(HOSTILE, [PageSection(HOSTILE, HOSTILE, [part])]).html(), times=4)


def poisoned_run(values: dict[str, Any]) -> dict[str, Any]:
    """A result whose texts, and a key of each mapping of it, are hostile; its design is not: no reader lets that in."""
    made: dict[str, Any] = poisoned({name: copy.deepcopy(value) for name, value in values.items() if name != "arch"})
    for name in ("units", "energy_pj", "area_mm2", "counters", "invariants", "cost_sources"):
        made[name][HOSTILE] = next(iter(made[name].values()))
    made["energy_pj"][HOSTILE] = 1e9
    made["invariants"][HOSTILE] = False
    made["layers"][0]["dense_cycles"] = {HOSTILE: 10}
    made["notes"] = [HOSTILE]
    for dense in (made["baseline"], made["baseline"]["iso_area"]):  # readers know these words
        dense |= {name: "systolic" for name in ("dense_mapping", "dataflow") if name in dense}
    return made | {"arch": values["arch"]}


def drawn(page: Page) -> Iterator[str]:
    """All texts of the figures of a page, as they are handed to Plotly."""
    for found in re.findall(
        r'<script type="application/json" id="[^"]*-figure">(.*?)</script>', page.html(), re.DOTALL
    ):
        yield from strings(json.loads(found))


def test_pages_of_runs(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsasim.report.html.page._plotly_js", lambda: "")
    page = run_page(poisoned_run(run.values), masks=mask_pictures(run.values, "smollm2-l512", None))
    check_page(page.html(), times=20)
    texts = list(drawn(page))
    assert sum(label(HOSTILE) in text for text in texts) >= 4
    for text in texts:
        check_label(text)
    watched = copy.copy(run.over_time)
    watched._cycles[HOSTILE], watched._instances[HOSTILE] = watched._cycles["softmax"], {"softmax"}
    watched_figure = shown(owners_over_time(watched, HOSTILE))
    assert label(f"cycles of {HOSTILE} (%)") == watched_figure["layout"]["yaxis"]["title"]["text"]
    for text in drawn(run_page(run.values, run.over_time)):
        check_label(text)


def test_pages_of_sweeps(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsasim.report.html.page._plotly_js", lambda: "")
    rows = []
    for point in range(4):
        head = {"point": point, "status": "ok", "axes": {f"{HOSTILE}.a": f"{HOSTILE}{point % 2}", "b": point // 2}}
        found = {"objectives": {"cycles": 10.0 + point, "area_mm2": 20.0 - point}, "evaluation": point}
        rows.append(
            poisoned_run(run.values)
            | head
            | found
            | {"strategy": HOSTILE, "reason": None, "design": HOSTILE, "selection": HOSTILE}
        )
    rows.append(rows[0] | {"point": 4, "status": "failed", "reason": HOSTILE, "objectives": None})
    page = sweep_page(rows)
    check_page(page.html(), times=15)
    texts = list(drawn(page))
    assert sum(label(HOSTILE) in text for text in texts) >= 10
    assert any("<br>" in text for text in texts) and any("<b>point 1</b>" in text for text in texts)
    for text in texts:
        check_label(text)


# -------------------------------------------------------------------------------------------------------------- labels
def test_plotly_is_told_what_to_draw_and_nothing_to_do() -> None:
    assert label('<b>x</b> & <a href="j">') == '&lt;b&gt;x&lt;/b&gt; &amp; &lt;a href="j"&gt;'
    assert label("%{x:$,.2f}") == "%&#123;x:$,.2f}"
    assert lines("a", "<i>", Markup("<b>point 3</b>")) == "a<br>&lt;i&gt;<br><b>point 3</b>"
    assert hover("%{y}<br>$name: %{x:,}", name="<b>$name</b>") == (
        "%{y}<br>&lt;b&gt;$name&lt;/b&gt;: %{x:,}<extra></extra>"
    )
    assert shown({"a": ("<", [1, None, label("<")])}) == {"a": ["&lt;", [1, None, "&lt;"]]}


def test_plotly_reads_these_entities() -> None:
    """It knows few by name, and splits a text at tags before it reads them: what is escaped is drawn, once."""
    script = pytest.importorskip("plotly.offline").get_plotlyjs()
    assert re.search(r'\{mu:"[^"]*",amp:"&",lt:"<",gt:">"', script)
    assert r"/&(#\d+|#x[\da-fA-F]+|[a-z]+);/g" in script
    assert "/(<[^<>]*>)/" in script
    assert r"/%{([^\s%{}:]*)" in script


# --------------------------------------------------------------------------------------------------------- no other way
DOORS = {
    "print": set(),
    "echo": set(),
    "secho": set(),
    "stdout": {"cli/__init__.py", "report/files.py", "report/say.py", "report/style.py"},
    "stderr": {"cli/__init__.py", "report/progress.py", "report/say.py"},
    "Console": {"report/style.py"},
    "import html": {"report/markup.py"},
    "from_markup": set(),
    "from_ansi": set(),
    "Text": {"report/console.py", "report/progress.py"},
}
"""What shows text, and the only files of the package that may use it."""


def used(tree: ast.AST) -> Iterator[str]:
    """Names of DOORS that a file calls or takes from a module; annotations apart, `console.print` is not `print`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Attribute) and node.attr != "print":
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield f"import {node.module}"
        elif isinstance(node, ast.Import):
            yield from (f"import {each.name}" for each in node.names)


def test_there_is_no_other_way_out() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("kernels/"):
            continue
        found = set(used(ast.parse(path.read_text(encoding="utf-8"))))
        assert not [door for door, users in DOORS.items() if door in found and name not in users], name


def test_plotly_s_markup_is_written_here() -> None:
    """A template is a constant; in other markup stand numbers only."""
    for path in (PACKAGE / "report").rglob("*.py"):
        if path.name == "label.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hover", "Markup"):
                parts = [each for each in ast.walk(node.args[0]) if isinstance(each, ast.FormattedValue)]
                assert isinstance(node.args[0], ast.Constant | ast.JoinedStr), path
                assert all(ast.unparse(each.format_spec or ast.Constant("")) == "f'd'" for each in parts), path
