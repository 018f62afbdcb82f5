"""What every test may use: a command line in this process; and what a run of several processes needs beforehand."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from compile_kernels import compile_all
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
MAX_PROCESSES = 8
"""Of `-n auto`: each takes up to a gigabyte once it has imported PyTorch."""

# before anything imports numpy, numba, torch or triton: tests run side by side, each in one thread; Triton's
# interpreter runs kernels where there is no GPU
for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
# tests neither read nor fill the user's cache of masks
os.environ["DSASIM_CACHE_DIR"] = ""
# nor are they as wide as the terminal they were started from
os.environ.pop("COLUMNS", None)

# how long an example takes says more about the machine's other users than about the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as this one may use cores of."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_PROCESSES)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before the processes of `-n` start, which all need the same kernels."""
    controls = session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput")
    if controls and not session.config.option.collectonly:
        compile_all()


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def dsasim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Run `dsasim ARGUMENTS…` in this process."""

    def run(*arguments: str) -> Finished:
        from dsasim.cli import main

        monkeypatch.setattr("sys.argv", ["dsasim", *arguments])
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        else:
            status = 0
        captured = capsys.readouterr()
        return Finished(status, captured.out, captured.err)

    return run


@pytest.fixture
def root() -> Path:
    """The folder of the checkout."""
    return ROOT
