"""`njit` of every kernel: compiled at the first use on a machine, and kept where nobody else can have put the code.

Compiled code is kept in a folder of its own for each state of the kernels: Numba alone notices an edit of a function's
own file, not of a function from another file that is compiled into it.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from dsasim import folders

KERNELS = Path(__file__).parent
NUMBA: Any = numba.config
PREFIX = "dsasim-kernels-"
UNUSED_SECONDS = 7 * 24 * 3600
"""Code of other states of the kernels goes when nobody used it for so long."""

Function = TypeVar("Function", bound=Callable[..., Any])


def njit(*, forceinline: bool = False) -> Callable[[Function], Function]:
    """Compile a function as `numba.njit` does, cached in `CACHE`, and without a cache where nothing can be written."""

    def compiled(function: Function) -> Function:
        before = NUMBA.CACHE_DIR  # for kernels that are not ours
        NUMBA.CACHE_DIR = str(CACHE or "")
        try:
            kernel: Any = numba.njit(cache=CACHE is not None, forceinline=forceinline)(function)  # noqa: TID251
        finally:
            NUMBA.CACHE_DIR = before
        return cast("Function", kernel)

    return compiled


def cache_folder() -> Path | None:
    """Return the folder of these kernels: in $NUMBA_CACHE_DIR, beside the source, in the user's cache, or temporary.

    None where there is not even a temporary folder. One that this user cannot have safely under a name that is known
    beforehand is made anew, passed on to processes started from here, and removed at the end.
    """
    state = hashlib.sha256()
    for path in sorted(KERNELS.glob("*.py")):
        state.update(path.read_bytes())
    name = f"{PREFIX}{state.hexdigest()[:16]}"
    for base, trusted in _lasting():
        folder = base / name
        if folders.can_be_written(folder) and (trusted or folders.is_private(folder)):
            _remove_unused(base, folder)
            return folder
    for base in folders.temporary_folders():
        if folders.can_be_written(base):
            passing = tempfile.mkdtemp(prefix=PREFIX, dir=base)
            os.environ["NUMBA_CACHE_DIR"] = passing
            atexit.register(shutil.rmtree, passing, ignore_errors=True)
            return Path(passing)
    return None


def _lasting() -> Iterator[tuple[Path, bool]]:
    """Folders that outlive a process, and whether they are trusted as they are."""
    if NUMBA.CACHE_DIR:
        yield Path(NUMBA.CACHE_DIR), True
    yield KERNELS / "__pycache__", True  # who can write there can change the kernels themselves
    cache = folders.user_cache()
    if cache is not None:
        yield cache / "dsasim", False
    for base in folders.temporary_folders():
        yield base / folders.temporary_name(), False


def _remove_unused(base: Path, used: Path) -> None:
    try:
        os.utime(used)
        for folder in base.glob(f"{PREFIX}*"):
            if folder.stat().st_mtime < time.time() - UNUSED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # another process removes the same
        return


CACHE = cache_folder()
"""Where compiled kernels are kept; None: nowhere."""
