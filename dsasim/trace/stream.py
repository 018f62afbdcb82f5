"""Writing a trace a part at a time: memory is bounded by one part, however large the trace is.

The bytes are those of the safetensors library: tensors by type, the widest first, then by name.
"""

import errno
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.inputs.printable import printable
from dsasim.trace.digest import UNKNOWN, as_read, canonical, content_digest
from dsasim.trace.find import trace_name
from dsasim.trace.layout import assemble
from dsasim.trace.schema import METADATA_KEY, check_metadata
from dsasim.trace.tensors import DTYPES, LENGTH_BYTES, MappedTensors

ORDER = ("F32", "I32", "F16", "I8", "U8")
"""Types in the order in which they stand in a file."""

NAMES: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class StreamedTensor:
    """A tensor whose elements come in order, in parts of any size."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: Callable[[], Iterable[NDArray[Any]]]

    @classmethod
    def of(cls, array: NDArray[Any]) -> "StreamedTensor":
        """A tensor that is in memory, or mapped."""
        return cls(array.dtype, array.shape, lambda: (array,))

    @property
    def num_bytes(self) -> int:
        """What it takes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_stream(path: Path, tensors: Mapping[str, StreamedTensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and metadata (without `sha256`) under a temporary name, check them as a reader would, then rename.

    TraceError when they are no trace or the place cannot be written; then nothing is left behind.
    """
    name = trace_name(path)
    described = as_read(name, {**metadata, "sha256": UNKNOWN})
    with _replacing(path) as part:
        with part.open("w+b") as file:
            file.write(_header(tensors, described))
            for key in _in_order(tensors):
                _write_parts(file, key, tensors[key])
            file.flush()
            written = MappedTensors(part, name)
            described["sha256"] = content_digest(described, written)
            file.seek(0)
            file.write(_header(tensors, described))
        assemble(name, check_metadata(name, described), written)
        for key in written:
            written.read(key)


def _write_parts(file: BinaryIO, name: str, tensor: StreamedTensor) -> None:
    begin = file.tell()
    file.writelines(np.ascontiguousarray(array, dtype=tensor.dtype).data for array in tensor.parts())
    if (got := file.tell() - begin) != tensor.num_bytes:
        raise TraceError(f"{name}: {got} bytes came; {tensor.num_bytes} were announced")


def _in_order(tensors: Mapping[str, StreamedTensor]) -> list[str]:
    return sorted(tensors, key=lambda name: (ORDER.index(NAMES[tensors[name].dtype]), name))


def _header(tensors: Mapping[str, StreamedTensor], metadata: Mapping[str, Any]) -> bytes:
    """The length and the JSON header, filled up with spaces to a multiple of eight bytes."""
    entries: dict[str, Any] = {"__metadata__": {METADATA_KEY: canonical(metadata)}}
    end = 0
    for name in _in_order(tensors):
        tensor = tensors[name]
        begin, end = end, end + tensor.num_bytes
        entries[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` once it is complete; a link is followed."""
    try:
        target = _regular_target(path)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            yield part
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise TraceError(f"{printable(path)}: cannot be written: {error.strerror or error}") from error


def _regular_target(path: Path) -> Path:
    """What `path` leads to; OSError unless it is a regular file or none yet."""
    try:
        target = path.resolve()
    except (RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        raise OSError(errno.EINVAL, str(error)) from None
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "not a regular file")
    return target
