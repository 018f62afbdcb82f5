"""A file that a user named, read once, whole and bounded."""

import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from dsasim.errors import ConfigError, DsasimError
from dsasim.inputs.printable import printable
from dsasim.inputs.strict_json import parse_json

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
"""Opening a pipe must not wait for a writer; of no effect on regular files."""


@dataclass(frozen=True)
class Source:
    """A file and how to speak of it: `what` it should be ("a design"), and the error that says it is not.

    `argument` is the flag it came from, put before its name in messages, if that is not plain.
    """

    path: Path
    what: str
    max_bytes: int
    error: type[DsasimError] = ConfigError
    argument: str = ""
    name: str = ""

    @property
    def label(self) -> str:
        """What messages call the file: `--gpu-profile a.json`."""
        return f"{self.argument} {printable(self.name or self.path)}".lstrip()

    def refuse(self, reason: str, line: int | None = None) -> NoReturn:
        """Raise this source's error: label, line and reason."""
        place = self.label if line is None else f"{self.label}:{line}"
        raise self.error(f"{place}: {reason}") from None

    def open(self) -> BinaryIO:
        """The file opened for reading, once it is known to be a regular one of at most `max_bytes`."""
        file, size = self._regular()
        if size > self.max_bytes:
            file.close()
            self.refuse(f"{size:,} bytes, more than {self.max_bytes:,}: not {self.what}")
        return file

    def read(self) -> bytes:
        """All bytes of the file."""
        with self.open() as file:
            data = self._bytes(file, self.max_bytes + 1)
        if len(data) > self.max_bytes:  # it grew, or is of a kind that tells no size (/proc)
            self.refuse(f"more than {self.max_bytes:,} bytes: not {self.what}")
        return data

    def head(self, num_bytes: int) -> bytes:
        """The first bytes of a regular file of any size, to tell what it is."""
        with self._regular()[0] as file:
            return self._bytes(file, num_bytes)

    def map(self) -> mmap.mmap:
        """The file's bytes mapped for reading, from the disk as they are looked at; an empty file is refused."""
        with self.open() as file:
            try:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                self.refuse(f"is empty: not {self.what}")
            except OSError as error:
                self.refuse(f"cannot be read: {_reason(error)}")

    def text(self) -> str:
        """All of the file as UTF-8, with or without a byte-order mark; the error names the line that is not."""
        data = self.read()
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.refuse(f"not {self.what}: not UTF-8 text", line=data.count(b"\n", 0, error.start) + 1)

    def json(self) -> dict[str, Any]:
        """The JSON object in the file, read strictly (`parse_json`)."""
        return self.parsed(self.text())

    def parsed(self, text: str, line: int | None = None) -> dict[str, Any]:
        """The JSON object in a text of the file, read strictly (`parse_json`)."""
        try:
            value = parse_json(text)
        except ValueError as error:
            self.refuse(f"not {self.what}: not JSON: {error}", line)
        if not isinstance(value, dict):
            self.refuse(f"not {self.what}: not a JSON object", line)
        return value

    def _regular(self) -> tuple[BinaryIO, int]:
        """The file opened, and its size; a folder, a pipe or a device is refused."""
        try:
            number = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | _AT_ONCE)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            self.refuse(f"cannot be read: {_reason(error)}")
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            os.close(number)
            folder = stat.S_ISDIR(found.st_mode)
            self.refuse(f"is a {'folder' if folder else 'pipe or a device'}, not {self.what}")
        return os.fdopen(number, "rb"), found.st_size

    def _bytes(self, file: BinaryIO, at_most: int) -> bytes:
        try:
            return file.read(at_most)
        except OSError as error:
            self.refuse(f"cannot be read: {_reason(error)}")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()
