"""`dsasim sweep`: real runs on spawned workers, and everything that may stop them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dsasim.sweep.proof import signed

# a shell's background job ignores Ctrl-C, and so would what it starts: a terminal's job does not
AS_FROM_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{AS_FROM_A_TERMINAL}; from dsasim.cli import main; main()", "sweep"]
SPEC = """
base: dsa-edge
traces: {trace: minilm-l128, layers: 2, heads: 0}
axes:
  pe_array.lanes: {from: 1, to: 4, scale: log2}
  scheduler.tile_rows: [16, 18, 32]
constraints: [area_mm2 < 2]
objectives: [cycles, energy_pj, area_mm2, captured_mass_ratio]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """What an undisturbed sweep on one worker prints and writes."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(SPEC)
    done = subprocess.run(
        [*COMMAND, "small.yaml", "--workers", "1"], cwd=folder, env=_environment(), capture_output=True, check=True
    )
    return done.stdout.decode(), (folder / "small-results" / "results.jsonl").read_bytes()


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def start(spec: Path, *options: str, command: list[str] = COMMAND) -> subprocess.Popen:
    return subprocess.Popen(
        [*command, spec, "--out", spec.parent / "out", *options],
        env=_environment() | {"DSASIM_CACHE_DIR": str(spec.parent / "cache")},  # `whole` runs without
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def results(spec: Path) -> bytes:
    path = spec.parent / "out" / "results.jsonl"
    return path.read_bytes() if path.exists() else b""


def await_rows(spec: Path, count: int) -> None:
    until = time.monotonic() + 120
    while results(spec).count(b"\n") < count:
        assert time.monotonic() < until, "no rows"
        time.sleep(0.005)


def workers_of(process: subprocess.Popen) -> list[int]:
    """Spawned workers: children whose command line says so."""
    children = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (folder / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if parent == process.pid and b"spawn_main" in command:
            children.append(int(folder.name))
    return children


def resumed(spec: Path) -> bytes:
    done = start(spec, "--resume", "--workers", "2")
    out, err = done.communicate(timeout=300)
    assert (done.returncode, err) == (0, ""), out
    return results(spec)


def test_rows_are_runs_with_their_provenance_and_without_places(whole: tuple[str, bytes]) -> None:
    rows = [json.loads(line) for line in whole[1].splitlines()]
    assert [row["point"] for row in rows] == list(range(9))
    assert [row["status"] for row in rows] == ["ok", "invalid", "ok"] * 3
    first = rows[0]
    assert first["axes"] == {"pe_array.lanes": 1, "scheduler.tile_rows": 16}
    assert first["arch"]["pe_array"]["lanes"] == 1
    assert set(first["objectives"]) == {"cycles", "energy_pj", "area_mm2", "captured_mass_ratio"}
    assert first["objectives"]["cycles"] == first["cycles"]
    assert first["baseline"] is None  # nobody asked, and it is most of a run's time
    assert all(first["invariants"].values())
    assert {"dsasim_version", "sweep_sha256", "arch_sha256", "trace", "quality"} <= first.keys()
    assert b"/" not in whole[1].replace(b"sentence-transformers/", b"")


def test_a_row_is_what_run_says(whole: tuple[str, bytes], dsasim: Callable) -> None:
    row = json.loads(whole[1].splitlines()[3 * 1 + 2])
    assert row["axes"] == {"pe_array.lanes": 2, "scheduler.tile_rows": 32}
    flags = [f"--set={key}={value}" for key, value in row["axes"].items()]
    run = json.loads(
        dsasim("run", "dsa-edge", "minilm-l128", "--layers", "2", "--heads", "0", *flags, "--json", "-").out
    )
    for key in ("arch", "arch_sha256", "cycles", "energy_pj", "area_mm2", "quality", "units", "counters", "layers"):
        assert row[key] == run[key]


def test_the_front_is_printed(whole: tuple[str, bytes]) -> None:
    out = whole[0]
    assert out.startswith("small: 9 of 9 points: 6 ok, 3 invalid (6 runs in ")
    assert "tile_rows 18 is not a multiple of token_parallelism 4" in " ".join(out.split())
    assert "Pareto front on minilm-l128: " in out
    assert max(map(len, out.split("\n"))) <= 100


def test_two_workers_one_of_them_killed_end_with_the_same_bytes(whole: tuple[str, bytes], spec: Path) -> None:
    process = start(spec, "--workers", "2")
    await_rows(spec, 4)  # the three invalid ones and a run
    os.kill(workers_of(process)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert "6 ok, 3 invalid" in out
    assert results(spec) == whole[1]


STOPS = {
    "Ctrl-C": (os.killpg, signal.SIGINT, 130),  # as a terminal does: to everyone
    "closed terminal": (os.killpg, signal.SIGHUP, 129),
    "kill": (os.kill, signal.SIGTERM, 143),
    "kill of all": (os.killpg, signal.SIGTERM, 143),
}


@pytest.mark.parametrize(("send", "number", "status"), STOPS.values(), ids=STOPS)
def test_a_stopped_sweep_says_so_and_resumes_to_the_same_bytes(
    whole: tuple[str, bytes], spec: Path, send: Callable[[int, int], None], number: int, status: int
) -> None:
    process = start(spec, "--workers", "2")
    await_rows(spec, 3)  # the invalid ones: the six runs may take less time than it takes to look
    workers = workers_of(process)
    send(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert err == f"stopped; the points so far are in {spec.parent / 'out'}: go on with --resume\n"
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert resumed(spec) == whole[1]


def test_a_signal_that_was_ignored_stays_ignored(whole: tuple[str, bytes], spec: Path) -> None:
    """nohup: the terminal is closed, and the sweep goes on."""
    with_nohup = [
        command.replace("import signal;", "import signal; signal.signal(1, signal.SIG_IGN);") for command in COMMAND
    ]
    process = start(spec, "--workers", "1", command=with_nohup)
    await_rows(spec, 3)
    os.killpg(process.pid, signal.SIGHUP)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), out
    assert results(spec) == whole[1]


def test_ctrl_c_while_workers_begin_says_one_line(spec: Path) -> None:
    """A worker that still imports would print its traceback."""
    process = start(spec, "--workers", "2")
    until = time.monotonic() + 120
    while len(workers_of(process)) < 2:
        assert time.monotonic() < until, "no workers"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (130, "", 1), err


def test_a_killed_sweep_leaves_no_workers_and_resumes(whole: tuple[str, bytes], spec: Path) -> None:
    process = start(spec, "--workers", "2")
    await_rows(spec, 4)
    workers = workers_of(process)
    process.kill()
    process.communicate(timeout=60)
    until = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "orphans"
        time.sleep(0.05)
    assert resumed(spec) == whole[1]


def test_results_are_not_overwritten(dsasim: Callable, spec: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").write_bytes(signed({"point": 0, "sweep_sha256": "x"}))
    done = dsasim("sweep", str(spec), "--out", str(tmp_path / "out"))
    assert (done.status, done.out) == (2, "")
    assert "has results already: go on with --resume, or choose another --out" in done.err
    done = dsasim("sweep", str(spec), "--out", str(tmp_path / "out"), "--resume")
    assert (done.status, "is of another sweep" in done.err) == (2, True)


def test_wrong_rows_are_named_on_stderr_and_run_again(dsasim: Callable, whole: tuple[str, bytes], spec: Path) -> None:
    lines = whole[1].splitlines(keepends=True)
    lines[0] = lines[0].replace(b'"status":"ok"', b'"status":"invalid"')
    lines[5:] = [b"[" * 100_000 + b"\n", b'{"point": [1]}\n']
    (spec.parent / "out").mkdir()
    path = spec.parent / "out" / "results.jsonl"
    path.write_bytes(b"".join(lines))
    done = dsasim("sweep", str(spec), "--out", str(spec.parent / "out"), "--resume", "--workers", "1")
    assert done.status == 0
    assert done.err == "".join(
        f"{path}:{number}: is not as a sweep wrote it: {which} is made anew\n"
        for number, which in ((1, "point 0"), (6, "its point"), (7, "its point"))
    )
    assert results(spec) == whole[1]


BAD = {
    "design": ("name: x\n", "s.yaml:1: name: unknown key; one of base, traces"),
    "list": ("- 1\n", "s.yaml:1: a sweep is a mapping of `key: value`, got a list"),
    "empty": ("", "s.yaml: the file is empty"),
    "axis": (SPEC.replace("pe_array.lanes", "pe_array.lane"), "s.yaml:5: axes.pe_array.lane: no such key of a design"),
    "no point": (SPEC.replace("[16, 18, 32]", "18"), "no point can be run"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_specs_end_with_2(dsasim: Callable, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    done = dsasim("sweep", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out"))
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_no_such_spec_and_two_kinds_of_workers(dsasim: Callable, spec: Path) -> None:
    assert "nothing.yaml: cannot be read" in dsasim("sweep", "nothing.yaml").err
    done = dsasim("sweep", str(spec), "--workers", "2", "--scheduler", "tcp://localhost:1")
    assert (done.status, "leave --workers out" in done.err) == (2, True)
