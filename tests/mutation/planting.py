"""Bugs planted one at a time in a copy of the checkout, and the tests that should notice, run there."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

BUGS = Path(__file__).parent / "bugs"
COPIED = ("dsasim", "tests", "arch_configs", "traces", "examples", "docs", "pyproject.toml", "README.md")
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Bug:
    """One planted bug: in `file` of the package, `text`, which stands there once, becomes `becomes`.

    `tests` are pytest's names of what should fail, `harm` what a user would get without them. `survives` says why none
    fails, where that is accepted.
    """

    area: str
    name: str
    file: str
    text: str
    becomes: str
    tests: tuple[str, ...]
    harm: str
    survives: str = ""

    def planted(self, source: str) -> str:
        """The file's text with the bug; AssertionError where the text to replace is not there once."""
        count = source.count(self.text)
        assert count == 1, f"{self.area}.toml: {self.name!r}: {count} times in dsasim/{self.file}: {self.text!r}"
        return source.replace(self.text, self.becomes)


def load_bugs() -> list[Bug]:
    """All bugs, by file in bugs/; AssertionError for an entry with a key too many or too few."""
    bugs = []
    for path in sorted(BUGS.glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["bug"]:
            assert entry.keys() <= {field.name for field in fields(Bug)}, f"{path.name}: {entry}"
            bugs.append(Bug(area=path.stem, **entry | {"tests": tuple(entry["tests"])}))
    return bugs


class Checkout:
    """A copy of the checkout in which bugs are planted and tests run; the original is never written to."""

    def __init__(self, original: Path, folder: Path) -> None:
        self._folder = folder
        for name in COPIED:
            source, target = original / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target)
        environment = os.environ | {
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # two bugs of one size planted within a second would share a .pyc
            "NUMBA_CACHE_DIR": str(folder / "numba"),
        }
        command = [sys.executable, str(Path(__file__).with_name("server.py")), str(folder)]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def close(self) -> None:
        """End the process that runs the tests."""
        self._server.communicate()

    @contextmanager
    def planted(self, bug: Bug) -> Iterator[None]:
        """The checkout with a bug, and without it again afterwards, to the file's time of change."""
        path = self._folder / "dsasim" / bug.file
        sound, changed = path.read_text(encoding="utf-8"), path.stat()
        path.write_text(bug.planted(sound), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(sound, encoding="utf-8")
            os.utime(path, ns=(changed.st_atime_ns, changed.st_mtime_ns))

    def run(self, tests: Sequence[str]) -> int:
        """Pytest's exit status for tests, up to the first that fails; AssertionError where they could not be run."""
        arguments = [
            "-x",
            "-q",
            "--assert=plain",
            "-p",
            "no:cacheprovider",
            "-m",
            "not benchmark and not mutation",
            *tests,
        ]
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(arguments) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        assert status in (PASSED, FAILED), f"pytest ended with {status}:\n{self.output}"
        return status

    @property
    def output(self) -> str:
        """The end of what the last run printed."""
        return (self._folder / "output").read_text(encoding="utf-8", errors="replace")[-3000:]
