"""Sweeps of made-up results: order, repeats, resume, and workers that die."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import sweep_tasks as tasks

from dsasim.errors import ConfigError, DsasimError
from dsasim.sweep import load_sweep, strategy
from dsasim.sweep.pool import JobRunner, LocalWorkers
from dsasim.sweep.proof import signed
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
    assert [outcome.status for _, outcome in sorted(result.outcomes.items())] == ["ok", "failed", "ok", "ok"]
    assert result.outcomes[1].reason == "its worker process died 2 times"
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
    found = {number: (outcome.status, outcome.reason) for number, outcome in result.outcomes.items() if outcome.reason}
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


def resign(line: bytes, **changes: object) -> bytes:
    """A row with other values and a digest that holds."""
    return signed(json.loads(line) | changes)


FORGED = {
    "another trace": lambda line: resign(line, trace=json.loads(line)["trace"] | {"name": "other"}),
    "other axes": lambda line: resign(line, axes={"pe_array.lanes": 3}),
    "another kind of number": lambda line: resign(line, axes={"pe_array.lanes": 2.0}),
    "another turn": lambda line: resign(line, evaluation=7),
    "another objective": lambda line: resign(line, objectives={"cycles": 1}),
    "an objective that is text": lambda line: resign(line, objectives={"cycles": "1", "area_mm2": 2.0}),
    "no objectives": lambda line: resign(line, objectives=None),
    "no such status": lambda line: resign(line, status="fine"),
    "a status that is a list": lambda line: resign(line, status=[]),
    "a reason that is a number": lambda line: resign(line, reason=1),
    "another point's number": lambda line: resign(line, point=3),
    "edited": lambda line: line.replace(b'"cycles":500', b'"cycles":1'),
    "cut": lambda line: line[: len(line) // 2] + b"\n",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_row_that_is_not_its_point_s_is_named_and_made_anew(
    spec: Callable, sweep: Callable, tmp_path: Path, forge: Callable[[bytes], bytes]
) -> None:
    sweep(spec(), tasks.quick, workers=1)
    whole = bytes_of(tmp_path / "out")
    lines = whole.splitlines(keepends=True)
    (tmp_path / "out" / RESULTS).write_bytes(b"".join((lines[0], forge(lines[1]), lines[2])))
    named: list[str] = []
    result = sweep(spec(), tasks.quick, workers=1, resume=True, warn=named.append)
    assert (result.num_runs, len(named)) == (2, 1)
    assert str(tmp_path / "out" / RESULTS) in named[0]
    assert bytes_of(tmp_path / "out") == whole


@pytest.mark.parametrize("change", ["cut", "edited", "emptied", "deleted"])
def test_a_file_that_changes_while_the_sweep_runs_ends_whole(
    spec: Callable, sweep: Callable, tmp_path: Path, change: str
) -> None:
    """What is lost when the last point ends is run again; equal points among the lost have one run."""
    repeated = spec(axes="{pe_array.lanes: [1, 2, 4, 2]}")
    sweep(repeated, tasks.quick, "undisturbed")
    path = tmp_path / "out" / RESULTS
    changes = {
        "cut": lambda: os.truncate(path, path.stat().st_size // 2),
        "edited": lambda: path.write_bytes(path.read_bytes().replace(b'"cycles":500', b'"cycles":1')),
        "emptied": lambda: path.write_bytes(b""),
        "deleted": path.unlink,
    }
    named: list[str] = []
    result = sweep(
        repeated,
        tasks.quick,
        workers=1,
        warn=named.append,
        progress=lambda done, total: changes[change]() if done == 3 else None,
    )
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "undisturbed")
    assert bool(named) == (result.num_runs > 3) == (change != "deleted")


def test_a_file_that_never_stops_changing_is_given_up(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    path = tmp_path / "out" / RESULTS
    with pytest.raises(DsasimError, match="rows change as fast as they are written"):
        sweep(spec(), tasks.quick, workers=1, progress=lambda done, total: path.write_bytes(b""))


def test_a_folder_deleted_while_the_sweep_runs_is_said_so(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    """At once, and not when all has been run."""
    ran: list[int] = []

    def look(done: int, total: int) -> None:
        ran.append(done)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)

    with pytest.raises(DsasimError, match="out: was deleted while the sweep ran, and its rows with it"):
        sweep(spec(), tasks.quick, workers=1, progress=look)
    assert ran == [1]
    assert not (tmp_path / "out").exists()


def test_a_log_that_is_a_pipe_is_not_waited_for(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "run.log")
    assert sweep(spec(), tasks.quick, workers=1).num_runs == 4


def test_equal_points_run_once_and_each_has_its_row(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    result = sweep(spec(axes="{pe_array.lanes: [2, 4, 2]}"), tasks.quick, workers=1)
    assert result.num_runs == 2
    rows = load_sweep(tmp_path / "out")
    assert [row["point"] for row in rows] == [0, 1, 2]
    assert rows[2] | {name: rows[0][name] for name in ("point", "evaluation", "row_sha256")} == rows[0]
    assert [row["evaluation"] for row in rows] == [0, 1, 2]


def test_a_selection_of_heads_or_layers_is_a_run_of_its_own(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    chosen = ("layers: 2, heads: 0", "layers: 2, heads: 1", "layers: 1, heads: 1", "layers: 2, heads: 0")
    traces = f"[{', '.join(f'{{trace: minilm-l128, {words}}}' for words in chosen)}]"
    result = sweep(spec(traces=traces, axes="{pe_array.lanes: [2]}"), tasks.selected, workers=1)
    assert result.num_runs == 3
    assert [row["selected"] for row in load_sweep(tmp_path / "out")] == [[[2], [0]], [[2], [1]], [[1], [1]], [[2], [0]]]


def test_each_trace_has_a_front_of_its_own(spec: Callable, sweep: Callable) -> None:
    """On head 1 every point takes longer than the same on head 0: on one front it would be beaten."""
    traces = "[{trace: minilm-l128, layers: 2, heads: 0}, {trace: minilm-l128, layers: 2, heads: 1}]"
    result = sweep(spec(traces=traces, axes="{pe_array.lanes: [1, 2]}"), tasks.slower_heads, workers=1)
    assert (result.front(0), result.front(1)) == ([2, 0], [3, 1])


def test_refused_points_have_rows_too(spec: Callable, sweep: Callable, tmp_path: Path) -> None:
    axes = "{pe_array.lanes: [1, 2, 4], scheduler.tile_rows: [30, 32]}"
    result = sweep(spec(axes=axes, constraints="[pe_array.lanes < 4, cycles < 600]"), tasks.quick, workers=1)
    assert [row["status"] for row in load_sweep(tmp_path / "out")] == [
        *("invalid", "infeasible"),  # 1000 cycles
        *("invalid", "ok"),
        *("invalid", "infeasible"),  # 4 lanes
    ]
    assert result.outcomes[1].reason == "constraint cycles < 600: it is 1000"
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
        chosen.append(sorted(result.outcomes))
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
