"""The README's commands do what it says."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """Every line of a shell block that begins with `dsasim`."""
    return [line for kind, block in BLOCKS if kind == "sh" for line in block.split("\n") if line.startswith("dsasim ")]


def test_commands_run_in_their_order(dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands()
    for command in commands():
        line, _, target = command.partition(" > ")
        done = dsasim(*shlex.split(line)[1:])
        assert (done.status, done.err) == (0, ""), command
        if target:
            Path(target).write_text(done.out, encoding="utf-8")


def test_python_runs() -> None:
    (block,) = (block for kind, block in BLOCKS if kind == "python")
    exec(compile(block, "README.md", "exec"), {})


def test_the_gate_finds_the_test_command() -> None:
    """`.ci/run` runs the one line of the first block under `## Test`."""
    block = README.split("\n## Test\n")[1].split("```sh\n")[1].split("\n```")[0]
    assert block == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"


def test_the_result_shown_is_the_result_printed(dsasim: Callable) -> None:
    """The block under `What it says` is the head of what the default run prints."""
    shown = README.split("\n## What it says\n")[1].split("```\n")[1].strip().split("\n")
    printed = [line.rstrip() for line in dsasim("run").out.split("\n")]
    assert printed[1 : 1 + len(shown)] == shown
