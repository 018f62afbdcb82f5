"""Sweeps of made-up results: order, repeats, resume, and workers that die."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import sweep_tasks as tasks

from dsasim.errors import ConfigError
from dsasim.sweep import load_sweep, strategy
from dsasim.sweep.pool import JobRunner, LocalWorkers
from dsasim.sweep.store import RESULTS


def bytes_of(folder: Path) -> bytes:
    return (folder / RESULTS).read_bytes()


def test_the_same_bytes_for_any_workers(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    for workers in (1, 2):
        result = sweep(spec(), tasks.unordered, f"w{workers}", workers)
        assert result.num_runs == 4
    assert bytes_of(tmp_path / "w1") == bytes_of(tmp_path / "w2")
    rows = load_sweep(tmp_path / "w1")
    assert [(row["point"], row["status"], row["objectives"]) for row in rows] == [
        (number, "ok", {"cycles": 1000 // lanes, "area_mm2": lanes}) for number, lanes in enumerate((1, 2, 4, 8))
    ]
    assert sorted(path.name for path in (tmp_path / "w1").iterdir()) == [RESULTS, "run.log"]


def test_a_log_that_cannot_be_written_stops_nothing(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.log").symlink_to("/dev/full")
    assert sweep(spec(), tasks.quick, workers=1).num_runs == 4


def test_a_poisonous_point_fails_and_its_neighbours_do_not(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    result = sweep(spec(), partial(tasks.poisoned, lanes=2))
    assert [seen.status for _, seen in sorted(result.seen.items())] == ["ok", "failed", "ok", "ok"]
    assert result.seen[1].reason == "its worker process died 2 times"
    # resumed, the failure stands: the same bytes
    before = bytes_of(tmp_path / "out")
    again = sweep(spec(), tasks.quick, resume=True)
    assert (again.num_runs, bytes_of(tmp_path / "out")) == (0, before)


def test_a_worker_killed_once_loses_nothing(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    sweep(spec(), tasks.quick, "whole")
    sweep(spec(), partial(tasks.killed_once, lanes=2, marker=tmp_path / "killed"), "killed-once")
    assert (tmp_path / "killed").exists()
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "killed-once")


def test_errors_become_rows_with_their_reason(spec: Callable, sweep: Callable) -> None:
    result = sweep(spec(), tasks.raising, workers=1)
    found = {number: (seen.status, seen.reason) for number, seen in result.seen.items() if seen.reason}
    assert found == {1: ("invalid", "does not fit the trace"), 2: ("failed", "ZeroDivisionError: a bug")}


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_resumed_from_any_rows_ends_with_the_same_bytes(
    spec: Callable, sweep: Callable, tmp_path: Path, kept: int
) -> None:
    sweep(spec(), tasks.quick, workers=1)
    whole = bytes_of(tmp_path / "out")
    lines = whole.splitlines(keepends=True)
    (tmp_path / "out" / RESULTS).write_bytes(b"".join(lines[::-1][:kept]) + lines[0][: len(lines[0]) // 2])
    result = sweep(spec(), tasks.quick, workers=1, resume=True)
    assert (result.num_runs, bytes_of(tmp_path / "out")) == (4 - kept, whole)


def test_equal_points_run_once_and_each_has_its_row(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    result = sweep(spec(axes="{pe_array.lanes: [2, 4, 2]}"), tasks.quick, workers=1)
    assert result.num_runs == 2
    rows = load_sweep(tmp_path / "out")
    assert [row["point"] for row in rows] == [0, 1, 2]
    assert rows[2] | {"point": 0, "evaluation": 0} == rows[0]


def test_refused_points_have_rows_too(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    axes = "{pe_array.lanes: [1, 2, 4], scheduler.tile_rows: [30, 32]}"
    result = sweep(spec(axes=axes, constraints="[pe_array.lanes < 4, cycles < 600]"), tasks.quick, workers=1)
    assert [row["status"] for row in load_sweep(tmp_path / "out")] == [
        *("invalid", "infeasible"),  # 1000 cycles
        *("invalid", "ok"),
        *("invalid", "infeasible"),  # 4 lanes
    ]
    assert result.seen[1].reason == "constraint cycles < 600: it is 1000"
    assert result.num_runs == 2
    assert result.front(0) == [3]


def test_a_sweep_without_any_valid_point_is_an_error(spec: Callable, sweep: Callable) -> None:
    with pytest.raises(
        ConfigError, match=r"no point can be run\nscheduler\.tile_rows in the sweep: .* 30 is not a mult"
    ):
        sweep(spec(axes="{scheduler.tile_rows: [30, 31]}"), tasks.quick)


def test_random_points_are_chosen_by_the_seed_alone(spec: Callable, sweep: Callable) -> None:
    wide = "{pe_array.lanes: {from: 1, to: 40}, scheduler.tile_rows: [30, 32]}"
    chosen = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        result = sweep(spec(axes=wide, strategy=f"{{method: random, points: 5, seed: {seed}}}"), tasks.quick, folder, 1)
        assert len(result.with_status("ok")) == result.num_runs == 5
        chosen.append(sorted(result.seen))
    assert chosen[0] == chosen[1] != chosen[2]


def test_rows_say_which_way_objectives_go_and_in_what_order_points_were_asked_for(
    spec: Callable, sweep: Callable, tmp_path: Path
) -> None:
    wide = "{pe_array.lanes: {from: 1, to: 40}, scheduler.tile_rows: [30, 32]}"
    asking = spec(axes=wide, objectives="{cycles: max, area_mm2: min}", strategy="{method: random, points: 9, seed: 4}")
    result = sweep(asking, tasks.unordered)
    rows = load_sweep(tmp_path / "out")
    assert {row["strategy"] for row in rows} == {"random"}
    assert all(row["senses"] == {"cycles": "max", "area_mm2": "min"} for row in rows)
    asked = [row["point"] for row in sorted(rows, key=lambda row: row["evaluation"])]
    assert asked == next(strategy.start(asking, result.space))
    assert sorted(row["evaluation"] for row in rows) == list(range(len(rows)))


@pytest.mark.parametrize(
    ("seconds", "left", "chunk"),
    [(0.02, 1000, 12), (0.02, 80, 10), (0.02, 7, 1), (0.3, 1000, 1), (0.0, 1000, 125)],
    ids=["a quarter of a second", "an eighth of what is left", "the last ones", "slow", "no time at all"],
)
def test_jobs_go_out_in_chunks(seconds: float, left: int, chunk: int) -> None:
    """Two workers: 0.25 s of jobs, and at most a fourth of a worker's share of what is left."""
    runner = JobRunner(LocalWorkers(2, "fork"), tasks.quick)
    runner._job_seconds = seconds
    assert runner._chunk_size(left) == chunk


def test_a_chunk_that_dies_costs_its_poisonous_job_alone(spec: Callable, sweep: Callable) -> None:
    result = sweep(spec(axes="{pe_array.lanes: {from: 1, to: 90}}"), partial(tasks.poisoned, lanes=70))
    assert result.with_status("failed") == [69]
    assert len(result.with_status("ok")) == 89
