"""Folders to keep things in between runs: of this user alone, and none of them taken for granted.

A container with a random user id has neither a home nor a name; an install may be read-only; a temporary folder is
shared with people who could plant a file under a name that can be guessed.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (a read-only container has no other; what is found there is checked)


def user_cache() -> Path | None:
    """Return $XDG_CACHE_HOME or ~/.cache, which may not exist; None for a user without a home."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def temporary_folders() -> Iterator[Path]:
    """Yield folders that any user may write to: $TMPDIR, /tmp and their like, then memory."""
    with suppress(OSError):  # not one of them can be written
        yield Path(tempfile.gettempdir())
    if SHARED_MEMORY.is_dir():
        yield SHARED_MEMORY


def temporary_name() -> str:
    """Return what this user's folder in a temporary folder is called: the same in every run."""
    return f"dsasim-{os.getuid()}" if hasattr(os, "getuid") else "dsasim"


def can_be_written(folder: Path) -> bool:
    """Make the folder if it is not there, for its user alone, and try."""
    try:
        for path in reversed((folder, *folder.parents)):
            if not path.is_dir():
                path.mkdir(mode=0o700, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def is_private(folder: Path) -> bool:
    """Whether no other user, root aside, can have put anything into this folder or can put another in its place."""
    if not hasattr(os, "getuid"):  # Windows: every user has temporary folders of their own
        return True
    try:
        whole = folder.resolve(strict=True)
        own, *above = (path.lstat() for path in (whole, *whole.parents))
    except (OSError, RuntimeError):
        return False
    return (
        own.st_uid == os.getuid()
        and not own.st_mode & WRITABLE_BY_OTHERS
        and all(step.st_uid in (0, os.getuid()) for step in above)
        and all(step.st_mode & stat.S_ISVTX or not step.st_mode & WRITABLE_BY_OTHERS for step in above)
    )
