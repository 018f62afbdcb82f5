"""Help, version, usage errors, and how a command ends when the world goes wrong."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dsasim as package

COMMAND = [sys.executable, "-c", "from dsasim.cli import main; main()"]


def cpu_seconds(*arguments: str) -> float:
    """Processor time of one run of the command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*COMMAND, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.benchmark
def test_help_is_quick() -> None:
    assert min(cpu_seconds("--help") for _ in range(3)) < 0.3


def test_help_loads_nothing_heavy() -> None:
    script = """
import sys
from dsasim import cli
try:
    cli.app(["--help"])
except SystemExit:
    heavy = {"numpy", "numba", "simpy", "pydantic", "safetensors", "yaml"} & set(sys.modules)
    sys.exit(f"loaded {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(dsasim: Callable) -> None:
    assert dsasim("--version").out == f"dsasim {package.__version__}\n"


USAGE = {
    "command": (("rum",), "Did you mean 'run'?"),
    "option": (("run", "--layer", "3"), "--layers"),
    "no value": (("run", "--json"), "requires an argument"),
    "too many": (("run", "a", "b", "c"), "unexpected extra argument"),
    "missing": (("arch", "check"), "ARCH"),
    "range": (("trace", "import-mask", "m.npy", "--d-head", "0", "--out", "t.safetensors"), "--d-head"),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE)
def test_a_usage_error_ends_with_2(dsasim: Callable, arguments: tuple[str, ...], message: str) -> None:
    done = dsasim(*arguments)
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("arguments", [(), ("arch",), ("trace",)])
def test_nothing_asked_prints_help(dsasim: Callable, arguments: tuple[str, ...]) -> None:
    done = dsasim(*arguments)
    assert "Usage:" in done.out + done.err


def test_a_reader_that_leaves_is_no_error_message() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, "arch", "show"], check=False, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "arch", "show"], check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_an_interrupt_ends_with_130(dsasim: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dsasim.config.loader.list_archs", interrupted)
    done = dsasim("arch", "list")
    assert done.status == 130
    assert "Traceback" not in done.err


def test_a_terminal_without_our_letters_shows_others() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "arch", "list"], check=False, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
