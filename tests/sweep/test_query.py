"""SQL on results."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sweep_tasks as tasks

duckdb = pytest.importorskip("duckdb", reason="the extra analysis is not installed")


@pytest.fixture
def folder(spec: Callable, sweep: Callable, tmp_path: Path) -> str:
    axes = "{pe_array.lanes: [1, 2, 4], scheduler.tile_rows: [30, 32]}"
    sweep(spec(axes=axes), tasks.quick)
    return str(tmp_path / "out")


def test_the_answer_is_a_table(folder: str, dsasim: Callable) -> None:
    sql = """SELECT axes."pe_array.lanes" AS lanes, cycles FROM points WHERE status = 'ok' ORDER BY cycles"""
    done = dsasim("sweep", "s.yaml", "--out", folder, "--query", sql)
    assert (done.status, done.err) == (0, "")
    heads, _, *rows = [line.split() for line in done.out.strip().split("\n")]
    assert (heads, rows) == (["lanes", "cycles"], [["4", "250"], ["2", "500"], ["1", "1,000"]])


def test_points_are_exported(folder: str, dsasim: Callable, tmp_path: Path) -> None:
    target = tmp_path / "p.parquet"
    done = dsasim("sweep", "s.yaml", "--out", folder, "--query", f"COPY points TO '{target}'")
    assert done.status == 0
    assert duckdb.sql(f"SELECT count(*) FROM '{target}'").fetchall() == [(6,)]


def test_bad_questions_end_with_2(folder: str, dsasim: Callable, tmp_path: Path) -> None:
    done = dsasim("sweep", "s.yaml", "--out", folder, "--query", "SELECT cycle FROM points")
    assert (done.status, done.out) == (2, "")
    assert "cycle" in done.err
    assert "Traceback" not in done.err
    assert done.err.count("\n") == 1
    assert '"cycles"' in done.err  # the column that was meant
    done = dsasim("sweep", "s.yaml", "--out", str(tmp_path / "none"), "--query", "SELECT 1")
    assert (done.status, "run the sweep first" in done.err) == (2, True)


def test_a_last_row_that_breaks_off_does_not_answer(folder: str, dsasim: Callable) -> None:
    """Even where what is left of it is JSON."""
    path = Path(folder) / "results.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"cycles":500', b'"cycles":1').removesuffix(b"\n"))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[4:]))
    done = dsasim("sweep", "s.yaml", "--out", folder, "--query", "SELECT 1")
    assert (done.status, done.out) == (2, "")
    assert "breaks off: the sweep is under way, or is to be finished with --resume" in done.err


def test_only_proven_rows_answer(folder: str, dsasim: Callable) -> None:
    path = Path(folder) / "results.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"cycles":500', b'"cycles":1'))
    done = dsasim("sweep", "s.yaml", "--out", folder, "--query", "SELECT 1")
    assert (done.status, done.out) == (2, "")
    assert f"{path}:4: is not a row as a sweep wrote it: its digest is that of another text" in done.err
