"""Whole commands on broken files: the same promises, kept by the command line."""

import contextlib
import io
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dsasim.cli import main
from dsasim.errors import ConfigError
from fuzz.attack import Reader

PREFIX = "dsasim: error: "
COMMANDS = {
    "trace": ("trace", "info", "FILE"),
    "import-mask": ("trace", "import-mask", "FILE", "--d-head", "8", "--out", "OUT.safetensors"),
    "design": ("arch", "check", "FILE"),
    "result": ("report", "FILE", "--out", "OUT.html"),
    "rows": ("report", "FILE", "--out", "OUT.html"),
    "requests": ("dram", "FILE", "--preset", "DDR4_2400", "--mapping", "mop4"),
}
"""Of readers by name, the command that takes the same files."""


def run_command(*arguments: str) -> None:
    """Run `dsasim ARGUMENTS…`; ConfigError with what it printed if it ends with 2, AssertionError with 1."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["dsasim", *arguments]
    status = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    finally:
        sys.argv = before
    if status == 0:
        return
    printed = err.getvalue()
    assert (status, out.getvalue()) == (2, ""), f"status {status}: {printed!a}"
    assert printed.startswith(PREFIX) and printed.endswith("\n"), printed
    raise ConfigError(printed.removeprefix(PREFIX)[:-1])


def command_readers(readers: Iterable[Reader]) -> tuple[Reader, ...]:
    """The commands of those readers that have one."""
    return tuple(
        replace(reader, name=f"dsasim {COMMANDS[reader.name][0]} ({reader.name})", read=_Run(COMMANDS[reader.name]))
        for reader in readers
        if reader.name in COMMANDS
    )


class _Run:
    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def __call__(self, path: Path, _seed: bytes) -> None:
        out = str(path.with_name("out"))
        run_command(*(str(path) if word == "FILE" else word.replace("OUT", out) for word in self._words))
