"""Named tensors behind a trace: a memory-mapped safetensors file, or arrays in memory.

A safetensors file is an 8-byte little-endian header length, a JSON header (name -> dtype, shape, data_offsets;
`__metadata__` maps strings to strings) and the tensors' bytes. Nothing is executed or unpickled, and no offset is used
before it is checked.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError

DTYPES: Mapping[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "I32": np.dtype("<i4"),
}
"""The element types a trace may hold, by their safetensors names."""

WRITTEN_FIRST = ("F32", "I32", "F16", "I8", "U8")
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library


@dataclass(frozen=True)
class Slot:
    """Where one tensor lies: its type, its shape and its first byte in the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int


class MappedTensors:
    """The tensors of a safetensors file, read through a memory map; TraceError when the file is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = _map(path)
        header, data_start = _header(path, self._bytes)
        metadata = header.pop("__metadata__", {})
        self.metadata: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
        size = len(self._bytes) - data_start
        self._slots = {name: _slot(path, name, entry, size, data_start) for name, entry in header.items()}

    def __contains__(self, name: str) -> bool:
        """Whether the file holds a tensor of this name."""
        return name in self._slots

    def __iter__(self) -> Iterator[str]:
        """The names of the tensors, sorted."""
        return iter(sorted(self._slots))

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return len(self._bytes)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a stored tensor."""
        return self._slots[name].shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """The element type of a stored tensor."""
        return self._slots[name].dtype

    def raw(self, name: str) -> NDArray[Any]:
        """A read-only view of a tensor, its values unchecked."""
        slot = self._slots[name]
        size = math.prod(slot.shape) * slot.dtype.itemsize
        return self._bytes[slot.start : slot.start + size].view(slot.dtype).reshape(slot.shape)

    def read(self, name: str, head: int | None = None, rows: slice | None = None) -> NDArray[Any]:
        """A read-only view of a tensor, of its part `[head]` or of `[head, rows]`; TraceError on NaN or Inf."""
        return finite_part(self, name, head, rows)


class MemoryTensors:
    """Tensors held in memory under a name, with the same checks as a file's."""

    def __init__(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.path = Path(name)
        self._arrays = arrays

    def __contains__(self, name: str) -> bool:
        """Whether a tensor of this name is held."""
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        """The names of the tensors, sorted."""
        return iter(sorted(self._arrays))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a held tensor."""
        return self._arrays[name].shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """The element type of a held tensor."""
        return self._arrays[name].dtype

    def raw(self, name: str) -> NDArray[Any]:
        """A tensor, its values unchecked."""
        return self._arrays[name]

    def read(self, name: str, head: int | None = None, rows: slice | None = None) -> NDArray[Any]:
        """A tensor, its part `[head]` or `[head, rows]`; TraceError on NaN or Inf."""
        return finite_part(self, name, head, rows)


TensorStore = MappedTensors | MemoryTensors


def write_tensors(path: Path, tensors: TensorStore, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file one tensor at a time, the bytes that the library's `save` would give; OSError as usual.

    The library holds a whole file in memory. Its order is by type as in WRITTEN_FIRST, then by name; its header is
    filled with spaces up to a multiple of 8 bytes (`prepare` in safetensors/src/tensor.rs, v0.4 to 0.8).
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    order = sorted(tensors, key=lambda name: (WRITTEN_FIRST.index(names[tensors.dtype(name)]), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        begin, end = end, end + math.prod(tensors.shape(name)) * tensors.dtype(name).itemsize
        kind = names[tensors.dtype(name)]
        header[name] = {"dtype": kind, "shape": list(tensors.shape(name)), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(LENGTH_BYTES, "little") + text)
        for name in order:
            file.write(np.ascontiguousarray(tensors.raw(name)).data)


CHECKED_AT_A_TIME = 1 << 20
"""Values looked at together for NaN and Inf, so that the check of a large tensor takes little memory."""


def finite_part(tensors: TensorStore, name: str, head: int | None = None, rows: slice | None = None) -> NDArray[Any]:
    """A tensor, its part `[head]` or `[head, rows]`; TraceError names the tensor and where it holds a NaN or an Inf."""
    if name not in tensors:
        raise TraceError(f"{tensors.path}: tensor {name} is missing")
    index = () if head is None else (head,) if rows is None else (head, rows)
    part = tensors.raw(name)[index]
    flat = part.reshape(-1)
    for at in range(0, flat.size, CHECKED_AT_A_TIME) if part.dtype.kind == "f" else ():
        finite = np.isfinite(flat[at : at + CHECKED_AT_A_TIME])
        if not finite.all():
            place = np.unravel_index(at + int(np.argmin(finite)), part.shape)
            raise TraceError(f"{tensors.path}: {_not_finite(name, head, rows, [int(axis) for axis in place])}")
    return part


def _not_finite(name: str, head: int | None, rows: slice | None, place: list[int]) -> str:
    """What to say of a value that is not finite; the first of three axes is the head."""
    if head is None and len(place) == 3:
        head, *place = place
    if rows is not None:
        place[0] += rows.start
    where = ("" if head is None else f" head {head}") + f" at {place}"
    hint = ": a key that may not be attended to belongs in `allowed`, not in an infinite bias"
    return f"{name}{where} is NaN or Inf" + (hint if name.endswith(".bias") else "")


def _map(path: Path) -> NDArray[np.uint8]:
    try:
        size = path.stat().st_size
        if path.is_file() and size < LENGTH_BYTES:
            raise TraceError(f"{path}: not a trace: {size} bytes cannot be a safetensors file")
        return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error


def _header(path: Path, data: NDArray[np.uint8]) -> tuple[dict[str, Any], int]:
    """The JSON header and the position of the first tensor byte."""
    length = int.from_bytes(data[:LENGTH_BYTES].tobytes(), "little")
    if length > MAX_HEADER_BYTES:
        raise TraceError(f"{path}: not a trace: it does not begin like a safetensors file")
    end = LENGTH_BYTES + length
    if end > len(data):
        raise TraceError(f"{path}: truncated: a header of {length} bytes is announced, the file has {len(data)}")
    try:
        header = json.loads(data[LENGTH_BYTES:end].tobytes())
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path}: not a trace: its safetensors header is not JSON") from error
    if not isinstance(header, dict):
        raise TraceError(f"{path}: not a trace: its safetensors header is not a JSON object")
    return header, end


def _slot(path: Path, name: str, entry: object, size: int, data_start: int) -> Slot:
    """The place of one tensor, once type, shape and offsets agree with each other and with the file's size."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            raise TraceError(f"{path}: {name}: its header entry is not a safetensors tensor")
    if dtype not in DTYPES:
        raise TraceError(f"{path}: {name}: type {dtype} is not one of {', '.join(DTYPES)}")
    if not all(type(extent) is int and extent >= 0 for extent in shape):
        raise TraceError(f"{path}: {name}: shape {shape} is not a list of sizes")
    if end > size:
        raise TraceError(f"{path}: truncated: {name} ends at byte {end} of {size}")
    if begin < 0 or end - begin != math.prod(shape) * DTYPES[dtype].itemsize:
        raise TraceError(f"{path}: {name}: offsets {begin} to {end} do not hold {dtype} of shape {shape}")
    return Slot(DTYPES[dtype], tuple(shape), data_start + begin)
