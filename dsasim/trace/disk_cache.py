"""Arrays on disk by what they were computed from, shared by all workers of a machine and by later sweeps.

An entry is a file named by the sha256 of its key; in it stands the sha256 of key and arrays, then the arrays as
safetensors. Entries are written under another name and renamed, so that a reader sees a whole one or none, and two
writers of one entry write the same. An entry that does not match its digest is removed and computed again. Nothing
that goes wrong here is an error: a cache that cannot be read or written is as good as none.
"""

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import version
from itertools import count
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

import dsasim
from dsasim import folders, registry
from dsasim.trace.cache import Arrays

FOLDER_VARIABLE = "DSASIM_CACHE_DIR"
"""Names the folder; set but empty, nothing is kept on disk."""

SIZE_VARIABLE = "DSASIM_CACHE_BYTES"
MAX_BYTES = 1 << 30
DIGEST_BYTES = 32
SWEPT_PER_LIMIT = 16
"""Each process looks at the size of the folder after writing this part of the limit, and may exceed it by as much."""


class DiskCache:
    """Entries of one content: `about` is put before every key, and names what keys do not, such as a trace's digest."""

    def __init__(self, folder: Path, max_bytes: int, about: str) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._about = f"{code_digest()} {registry.plugins_digest()} {about}"
        self._unswept = max_bytes  # look at the folder before the first entry
        self._parts = count()

    def load(self, key: str) -> Arrays | None:
        """Return the arrays of a key, or None if there is no whole entry of it."""
        whole_key = self._whole(key)
        path = self._path(whole_key)
        try:
            content = path.read_bytes()
            if content[:DIGEST_BYTES] != _digest(whole_key, content[DIGEST_BYTES:]):
                path.unlink()
                return None
            os.utime(path)  # used just now: among the last to go
            # writable: to Numba a read-only array is another type, and every kernel would be compiled anew
            arrays = load(content[DIGEST_BYTES:])
            return {name: array if array.flags.writeable else array.copy() for name, array in arrays.items()}
        except (OSError, SafetensorError):
            return None

    def store(self, key: str, arrays: Arrays) -> None:
        """Keep arrays, and let the entries unused for the longest time go if there is no space."""
        whole_key = self._whole(key)
        payload = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        if len(payload) > self._max_bytes // SWEPT_PER_LIMIT:
            return
        path = self._path(whole_key)
        part = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}.{next(self._parts)}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                part.write_bytes(_digest(whole_key, payload) + payload)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            self._unswept += len(payload)
            if self._unswept > self._max_bytes // SWEPT_PER_LIMIT:
                self._sweep()
        except OSError:
            return

    def _sweep(self) -> None:
        """Remove files, those unused for the longest time first, until the rest fits; others may do the same."""
        files = []
        for entry in os.scandir(self._folder):
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue
            files.append((found.st_mtime_ns, entry.path, found.st_size))
        self._unswept = 0
        excess = sum(size for _, _, size in files) - self._max_bytes
        for _, path, size in sorted(files):
            if excess <= 0:
                return
            Path(path).unlink(missing_ok=True)
            excess -= size

    def _whole(self, key: str) -> bytes:
        return f"{self._about} {key}".encode()

    def _path(self, whole_key: bytes) -> Path:
        return self._folder / hashlib.sha256(whole_key).hexdigest()


def user_cache(about: str) -> DiskCache | None:
    """The cache of this user, in $DSASIM_CACHE_DIR, else in $XDG_CACHE_HOME/dsasim; at most $DSASIM_CACHE_BYTES.

    None if the folder's name is empty, or the user has no home.
    """
    base = folders.user_cache()
    folder = os.environ.get(FOLDER_VARIABLE, "" if base is None else str(base / "dsasim"))
    size = os.environ.get(SIZE_VARIABLE, "")
    return DiskCache(Path(folder), int(size) if size.isdecimal() else MAX_BYTES, about) if folder else None


@cache
def code_digest() -> str:
    """Everything but the keys that decides a value's bits: this package's code, the libraries, the processor's kind."""
    package = Path(dsasim.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.read_bytes())
    # a sum of floats depends on the width of the vector unit that is found
    vectors = np.show_config(mode="dicts")["SIMD Extensions"]
    digest.update(repr((platform.machine(), vectors, version("numpy"), version("numba"))).encode())
    return digest.hexdigest()


def _digest(key: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(key + payload).digest()
