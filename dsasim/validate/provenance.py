"""What a validation was made with: the code, the device and the libraries, named so that it can be made again."""

import platform
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from importlib.resources.abc import Traversable

import dsasim

LIBRARIES = ("torch", "triton", "numpy", "numba", "nvidia-ml-py")


def versions() -> dict[str, str]:
    """Versions of dsasim, Python and those of LIBRARIES that are installed."""
    found = {"dsasim": dsasim.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def source_sha256() -> str:
    """Digest over the package's own .py, .yaml and .csv files and their names: the same in a checkout and a wheel.

    It stands for a commit, which an installed wheel does not know and a changed checkout would only pretend.
    """
    digest = sha256()
    for name, content in sorted(_sources(resources.files("dsasim"), "")):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            if name not in ("arch_configs", "traces"):  # only a wheel has these inside
                yield from _sources(entry, f"{name}/")
        elif entry.name.endswith((".py", ".yaml", ".csv")):
            yield name, entry.read_bytes()
