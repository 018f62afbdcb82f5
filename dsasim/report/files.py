"""Output files: found writable before the work starts, and complete or absent after it."""

import errno
import gzip
import json
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from dsasim.errors import ConfigError
from dsasim.inputs.printable import printable, printable_json, printable_lines

STDOUT = "-"
PAGE = (".html", ".htm")
TIMELINE = (".json", ".json.gz")
DRAWING = (".svg",)
GZIP_LEVEL = 1
"""Half the time of the usual 6, a third more bytes (measured on timelines)."""


ANY_PATH = (OSError, RuntimeError, ValueError)
"""What a path can raise: a loop of links a RuntimeError, a NUL in its name a ValueError."""


@contextmanager
def _named(path: str, flag: str, errors: tuple[type[Exception], ...] = ANY_PATH) -> Iterator[None]:
    """ConfigError that names the flag in place of these errors."""
    try:
        yield
    except errors as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ConfigError(f"{flag} {printable(path)}: cannot be written: {reason}") from None


def check_writable(path: str, flag: str, endings: Sequence[str] = ()) -> None:
    """Raise ConfigError, naming `flag`, if the file at `path` could not be written; leaves nothing behind.

    A new file's name has one of `endings`, if any are given: a page in a .txt would be opened by the wrong program.
    """
    if path == STDOUT:
        return
    with _named(path, flag):
        target = _target(path)
        if target.is_dir():
            raise IsADirectoryError(21, "is a folder")
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(13, "permission denied")
        if not _is_special(target):
            _check_ending(path, flag, endings)
            part = _part(target)
            part.touch(exist_ok=False)
            part.unlink()


def _check_ending(path: str, flag: str, endings: Sequence[str]) -> None:
    if endings and not path.lower().endswith(tuple(endings)):
        raise ConfigError(f"{flag} {path}: the file's name must end in {' or '.join(endings)}")


def write_text(path: str, flag: str, text: str) -> None:
    """Write `text` to `path` by way of a temporary name beside it, or to stdout for `-`; ConfigError naming `flag`."""
    if path == STDOUT:
        sys.stdout.write(printable_lines(text))
        return
    with _named(path, flag):
        target = _target(path)
        if _is_special(target):
            target.write_text(text, encoding="utf-8")
        else:
            _replace(target, text)


def write_json(path: str, flag: str, value: Any) -> None:
    """Write `value` as JSON that people can read, as `write_text` does; ValueError for what JSON has no number for."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, flag, printable_json(text) + "\n")


@contextmanager
def open_output(path: str, flag: str) -> Iterator[IO[bytes]]:
    """A file to write bytes to, gzipped if its name ends in .gz; it takes the place of `path` when all went well.

    ConfigError naming `flag` if it cannot be written. The gzip header holds neither name nor time.
    """
    with _named(path, flag):
        target = _target(path)
        part = target if _is_special(target) else _part(target)
        file = part.open("wb")
    try:
        with _named(path, flag, (OSError,)):  # what else is raised is not the file's
            with file as raw:
                if path.endswith(".gz"):
                    with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as packed:
                        yield cast("IO[bytes]", packed)
                else:
                    yield raw
            if part != target:
                part.replace(target)
    finally:
        if part != target:
            part.unlink(missing_ok=True)


def _replace(target: Path, text: str) -> None:
    part = _part(target)
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _target(path: str) -> Path:
    """The file that a path leads to, by way of links; OSError or RuntimeError if they go round in a circle."""
    target = Path(path).resolve()
    if target.is_symlink():  # Python 3.13 resolves a circle to one of its links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _is_special(target: Path) -> bool:
    """A device or a pipe (/dev/null) is written in place: nothing may be renamed over it."""
    return target.exists() and not target.is_file()


def _part(target: Path) -> Path:
    """A name beside the target, no longer than a name may be however long that of the target is."""
    return target.with_name(f".{zlib.crc32(os.fsencode(target.name)):08x}.{os.getpid()}.part")
