"""The same of sweeps: the row of each of ten unlike runs, the page of it and the table that is printed."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from surfaces import Shown, printed, ruled, value
from ten_runs import CASES, Run, expected_quality, run

from dsasim.report.html.inputs import read_input
from dsasim.report.html.sweep import sweep_page
from dsasim.report.sweep import print_sweep
from dsasim.sweep.metrics import METRICS
from dsasim.sweep.row import RowFormat
from dsasim.sweep.runner import SweepResult


@pytest.fixture(scope="module", params=CASES)
def one(request: pytest.FixtureRequest) -> Run:
    """Each of the ten runs."""
    return run(request.param)


def line_of(one: Run) -> bytes:
    """The row of a sweep in which the run is a point, all metrics its objectives that it has."""
    metrics = tuple(metric for metric in METRICS.values() if metric.value(one.document) is not None)
    form = RowFormat("0" * 64, "grid", metrics, ())
    head = {"point": 0, "axes": {"pe_array.lanes": 1}, "schema_version": 1, "sweep_sha256": "0" * 64}
    return form.with_result(head | {"trace": one.document["trace"]}, one.document).text


def expected_metrics(one: Run) -> Iterator[tuple[str, float]]:
    document, baseline = one.document, one.document["baseline"]
    time_ns = document["cycles"] / document["arch"]["clock_ghz"]
    energy = math.fsum(cost for name, cost in document["energy_pj"].items() if name != "total")
    area = math.fsum(cost for name, cost in document["area_mm2"].items() if name != "total")
    yield from {"cycles": document["cycles"], "time_ns": time_ns, "energy_pj": energy, "area_mm2": area}.items()
    yield "edp", energy * time_ns
    yield "speedup_vs_dense", baseline["dense_cycles"] / document["cycles"]
    yield "energy_vs_dense_ratio", baseline["energy_vs_dense_ratio"]
    macs = sum(document["counters"][name] for name in ("macs_sddmm", "macs_spmm", "macs_dense"))
    yield "utilisation_ratio", macs / (one.result.arch.macs * document["cycles"])
    if one.case.layers:
        yield from expected_quality(one.case.layers, one.keep).items()


def test_a_sweep_s_row_page_and_table_have_the_run_s_figures(one: Run, tmp_path: Path) -> None:
    expected = dict(expected_metrics(one))
    (tmp_path / "results.jsonl").write_bytes(line_of(one))
    row = json.loads(line_of(one))
    assert row["objectives"] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert {name: row[name] for name in one.document} == one.document
    page = Shown(sweep_page(read_input(str(tmp_path))))
    (front,) = [each for each in page.tables if "point" in each[0]]
    units = {"energy µJ": ("energy_pj", 1e6), "time µs": ("time_ns", 1e3), "energy x time µJ·µs": ("edp", 1e9)}
    units |= {"time cycles": ("cycles", 1), "area mm²": ("area_mm2", 1), "MACs used ratio": ("utilisation_ratio", 1)}
    for title, (name, size) in units.items():
        assert math.isclose(value(front[0][title]), expected[name] / size, rel_tol=6e-4)
    table = swept(row, ("energy_pj", "time_ns", "edp", "area_mm2", "cycles"))
    titles = ("energy µJ ↓", "time µs ↓", "energy x time µJ·µs ↓", "area mm² ↓", "cycles ↓")
    for title, name in zip(titles, ("energy_pj", "time_ns", "edp", "area_mm2", "cycles"), strict=True):
        size = next((size for metric, size in units.values() if metric == name), 1)
        assert math.isclose(value(table[title]), expected[name] / size, rel_tol=6e-4)


def swept(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """What `dsasim sweep` prints of a row, by column."""
    form = RowFormat("0" * 64, "grid", tuple(METRICS[name] for name in names), ())
    meta = SimpleNamespace(name=row["trace"]["name"], kind="real")
    spec = SimpleNamespace(name="s", axes=(), objectives=form.objectives, traces=(SimpleNamespace(meta=meta),))
    space = SimpleNamespace(num_points=1, point=lambda _: SimpleNamespace(axes={}))
    found = SweepResult(spec, space, {0: form.line(row).outcome}, 1, 1.0)  # type: ignore[arg-type]
    (rows,) = ruled(printed(lambda console: print_sweep(found, Path("out"), console)))
    return rows[0]
