"""Named tensors behind a trace: a memory-mapped safetensors file, or arrays in memory.

A safetensors file is an 8-byte little-endian header length, a JSON header (name -> dtype, shape, data_offsets;
`__metadata__` maps strings to strings) and the tensors' bytes. Nothing is executed or unpickled, and no offset is used
before it is checked.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.inputs.printable import printable
from dsasim.inputs.source import Source
from dsasim.inputs.strict_json import parse_json

DTYPES: Mapping[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "I32": np.dtype("<i4"),
}
"""The element types a trace may hold, by their safetensors names."""

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 1 << 24
"""A trace of 100 layers and eight sigmas has 3 MB; the safetensors library itself stops at 100 MB."""

MAX_FILE_BYTES = 1 << 40
"""Of a trace, which is mapped and read a head at a time."""


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies: its type, its shape and its first byte in the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @property
    def end(self) -> int:
        """Its last byte's successor."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


class MappedTensors:
    """The tensors of a safetensors file, read through a memory map; TraceError when the file is damaged.

    `name` is what errors call the file, its path by default.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self._source = Source(path, "a trace", MAX_FILE_BYTES, TraceError, name=name)
        self._bytes = np.frombuffer(self._source.map(), np.uint8)
        header, data_start = _header(self._source, self._bytes)
        self.metadata = _metadata(self._source, header.pop("__metadata__", {}))
        size = len(self._bytes) - data_start
        self._stored = {
            name: _stored_tensor(self._source, name, entry, size, data_start) for name, entry in header.items()
        }
        _check_whole(self._source, self._stored, data_start, len(self._bytes))

    @property
    def path(self) -> Path:
        """The file."""
        return self._source.path

    @property
    def label(self) -> str:
        """What messages call the file."""
        return self._source.label

    def __contains__(self, name: str) -> bool:
        """Whether the file holds a tensor of this name."""
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        """The names of the tensors, sorted."""
        return iter(sorted(self._stored))

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return len(self._bytes)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a stored tensor."""
        return self._stored[name].shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """The element type of a stored tensor."""
        return self._stored[name].dtype

    def raw(self, name: str) -> NDArray[Any]:
        """A read-only view of a tensor, its values unchecked."""
        tensor = self._stored[name]
        return self._bytes[tensor.start : tensor.end].view(tensor.dtype).reshape(tensor.shape)

    def read(self, name: str, head: int | None = None, rows: slice | None = None) -> NDArray[Any]:
        """A read-only view of a tensor, of its part `[head]` or of `[head, rows]`; TraceError on NaN or Inf."""
        return finite_part(self, name, head, rows)


class MemoryTensors:
    """Tensors held in memory under a name, with the same checks as a file's."""

    def __init__(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.label = printable(name)
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


CHECKED_AT_A_TIME = 1 << 20
"""Values looked at together for NaN and Inf, so that the check of a large tensor takes little memory."""


def finite_part(tensors: TensorStore, name: str, head: int | None = None, rows: slice | None = None) -> NDArray[Any]:
    """A tensor, its part `[head]` or `[head, rows]`; TraceError names the tensor and where it holds a NaN or an Inf."""
    if name not in tensors:
        raise TraceError(f"{tensors.label}: tensor {name} is missing")
    index = () if head is None else (head,) if rows is None else (head, rows)
    part = tensors.raw(name)[index]
    flat = part.reshape(-1)
    for at in range(0, flat.size, CHECKED_AT_A_TIME) if part.dtype.kind == "f" else ():
        finite = np.isfinite(flat[at : at + CHECKED_AT_A_TIME])
        if not finite.all():
            place = np.unravel_index(at + int(np.argmin(finite)), part.shape)
            raise TraceError(f"{tensors.label}: {_not_finite(name, head, rows, [int(axis) for axis in place])}")
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


def _header(source: Source, data: NDArray[np.uint8]) -> tuple[dict[str, Any], int]:
    """The JSON header and the position of the first tensor byte."""
    length = int.from_bytes(data[:LENGTH_BYTES].tobytes(), "little")
    if len(data) < LENGTH_BYTES or length > MAX_HEADER_BYTES:
        source.refuse("not a trace: it does not begin like a safetensors file")
    end = LENGTH_BYTES + length
    if end > len(data):
        source.refuse(f"truncated: a header of {length} bytes is announced, the file has {len(data)}")
    try:
        header = parse_json(data[LENGTH_BYTES:end].tobytes().decode())
    except ValueError as error:  # of which text that is not UTF-8 is one
        source.refuse(f"not a trace: its safetensors header is not JSON: {printable(error)}")
    if not isinstance(header, dict):
        source.refuse("not a trace: its safetensors header is not a JSON object")
    return header, end


def _metadata(source: Source, found: object) -> Mapping[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        source.refuse("not a trace: __metadata__ in its safetensors header does not map text to text")
    return found


def _stored_tensor(source: Source, name: str, entry: object, size: int, data_start: int) -> StoredTensor:
    """The place of one tensor, once type, shape and offsets agree with each other and with the file's size."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end], **others} if not others:
            pass
        case _:
            source.refuse(f"{name}: its header entry is not a safetensors tensor")
    if dtype not in DTYPES:
        source.refuse(f"{name}: type {printable(dtype)} is not one of {', '.join(DTYPES)}")
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        source.refuse(f"{name}: its shape and its offsets are not all whole numbers from 0")
    if end > size:
        source.refuse(f"truncated: {name} ends at byte {end} of {size}")
    if end - begin != math.prod(shape) * DTYPES[dtype].itemsize:
        source.refuse(f"{name}: offsets {begin} to {end} do not hold {dtype} of shape {shape}")
    return StoredTensor(DTYPES[dtype], tuple(shape), data_start + begin)


def _check_whole(source: Source, stored: Mapping[str, StoredTensor], data_start: int, size: int) -> None:
    """Refuse bytes of two tensors or of none, as the format does: what nobody reads, nobody can vouch for."""
    reached = data_start
    for start, end, name in sorted((tensor.start, tensor.end, name) for name, tensor in stored.items()):
        if start != reached:
            overlaps = "overlaps another tensor" if start < reached else "leaves bytes before it that are no tensor's"
            source.refuse(f"damaged: {name} {overlaps}")
        reached = end
    if reached != size:
        source.refuse(f"damaged: {size - reached} bytes after the last tensor are no tensor's")
