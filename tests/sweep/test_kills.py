"""Sweeps killed at random times and resumed end with the bytes of an undisturbed one."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import sweep_tasks as tasks

from dsasim.sweep.pool import LocalWorkers
from dsasim.sweep.runner import run_sweep
from dsasim.sweep.spec import SweepSpec
from dsasim.sweep.stop import stopped_by_signals
from dsasim.sweep.store import RESULTS

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
POINTS = {
    "traces": "[{trace: minilm-l128, layers: 2, heads: 0}, {trace: minilm-l128, layers: 2, heads: 1}]",
    "axes": "{pe_array.lanes: {from: 1, to: 8}, scheduler.tile_rows: [16, 30, 64, 16]}",
}


def resume(spec: SweepSpec, folder: Path, errors: Path, begun: Event) -> None:
    """What a process of its own does: go on with a sweep; whatever it says goes to a file."""
    os.setsid()
    sys.stderr = errors.open("a", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stopped_by_signals():
            begun.set()
            run_sweep(
                spec,
                folder,
                LocalWorkers(2, "fork"),
                resume=True,
                warn=lambda text: print(text, file=sys.stderr),
                simulation=tasks.steady,
            )
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        sys.exit(130)


def hunt(spec: SweepSpec, folder: Path, kills: int, seed: int) -> None:
    """Kill sweeps `kills` times in all, each some times within the time that a whole one takes; resume; compare."""
    errors, fork = folder / "errors", multiprocessing.get_context("fork")

    def begin(name: str) -> BaseProcess:
        begun = fork.Event()
        process = fork.Process(target=resume, args=(spec, folder / name, errors, begun))
        process.start()
        assert begun.wait(60)
        return process

    def end(name: str) -> bytes:
        process = begin(name)
        process.join(120)
        assert (process.exitcode, errors.read_text()) == (0, "")
        assert {path.name for path in (folder / name).iterdir()} == {RESULTS, "run.log"}
        return (folder / name / RESULTS).read_bytes()

    began = time.monotonic()
    whole = end("whole")
    seconds, chance, done = time.monotonic() - began, random.Random(seed), 0
    while done < kills:
        name = f"out-{done}"
        for _ in range(chance.randint(1, 4)):
            process = begin(name)
            time.sleep(chance.random() * seconds)
            if process.is_alive():
                number = chance.choice(SIGNALS)
                os.kill(process.pid, number)
                done += 1
                process.join(60)
                assert process.exitcode in (0, -number, 128 + number), "neither ended by the signal nor done before"
            process.join(60)
        assert end(name) == whole


def test_a_few_kills(spec: Callable[..., SweepSpec], tmp_path: Path) -> None:
    hunt(spec(**POINTS), tmp_path, 5, seed=3)


@pytest.mark.fuzz
def test_fifty_kills(spec: Callable[..., SweepSpec], tmp_path: Path) -> None:
    hunt(spec(**POINTS), tmp_path, 50, seed=4)
