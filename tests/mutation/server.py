"""Runs pytest again and again in fresh processes: `python server.py CHECKOUT`, one JSON line of arguments a run.

What is slow to import and is never planted in is imported once; each run is a fork, which imports the rest anew.
Answers one line a run: pytest's exit status, or 99 where it took longer than a test may.
"""

import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path

SLOW = ("numpy", "numba", "pydantic", "simpy", "hypothesis", "rich.console", "typer", "safetensors.numpy", "yaml")
EXTRAS = ("torch", "optuna", "plotly.graph_objects", "transformers", "duckdb")
TIMEOUT_SECONDS = 600
TIMED_OUT, CRASHED = 99, 98


def main(checkout: str) -> None:
    """Answer until stdin ends."""
    os.chdir(checkout)
    sys.path.insert(0, checkout)
    answers = os.fdopen(os.dup(1), "w")
    import pytest

    for name in (*SLOW, *EXTRAS):
        with suppress(ImportError):
            import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(pytest, json.loads(line))
        answers.write(f"{_ended(child)}\n")
        answers.flush()


def _run(pytest: object, arguments: list[str]) -> None:
    """In the child: what pytest prints goes to the file `output`, and nothing of the parent's is read or ended."""
    os.setsid()
    signal.alarm(TIMEOUT_SECONDS)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for to, at in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(to, at)
    status = CRASHED
    try:
        status = int(pytest.main(arguments))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _ended(child: int) -> int:
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # workers that a failed test left behind
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else TIMED_OUT


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()))
