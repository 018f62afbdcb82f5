"""What every test may use: a command line in this process, and a Numba cache that cannot be stale."""

import getpass
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _kernel_cache() -> str:
    """A Numba cache folder of its own for each state of the kernels.

    Numba notices an edit of a jitted function's own file, not of a jitted function it calls in another file.
    """
    digest = hashlib.sha256()
    for path in sorted((ROOT / "dsasim" / "kernels").glob("*.py")):
        digest.update(path.read_bytes())
    return str(Path(tempfile.gettempdir()) / f"dsasim-numba-{getpass.getuser()}-{digest.hexdigest()[:16]}")


# before anything imports numba or triton; Triton's interpreter runs kernels where there is no GPU
os.environ.setdefault("NUMBA_CACHE_DIR", _kernel_cache())
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
# tests neither read nor fill the user's cache of masks
os.environ["DSASIM_CACHE_DIR"] = ""
# nor are they as wide as the terminal they were started from
os.environ.pop("COLUMNS", None)


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
