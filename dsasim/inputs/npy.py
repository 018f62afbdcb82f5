r"""Arrays in NumPy's .npy files, mapped: the header is read by a grammar of our own, and nothing is evaluated.

A file is `\x93NUMPY`, a version, the header's length and a header, a Python dict that we read as NumPy writes it
(https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html); then the elements, with nothing after them.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dsasim.inputs.source import Source

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 10_000
"""NumPy's own limit; a header of plain elements takes 128 bytes."""

_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
"""Of the header's length, by version."""

_VALUE = r"""'[^'"\\]*'|"[^'"\\]*"|True|False|\([0-9L, ]*\)"""
_ITEM = rf"""(?:'(\w+)'|"(\w+)") *: *({_VALUE})"""
_HEADER = re.compile(rf"\{{ *{_ITEM} *, *{_ITEM} *, *{_ITEM} *,? *\}} *\n?")
_SIZE = "(?:0|[1-9][0-9]{0,17})L?"
_SHAPE = re.compile(rf"\( *((?:{_SIZE} *, *)*)({_SIZE})? *\)")
_ELEMENT = re.compile(r"[<>|=]?[?bBhHiIlLqQefdgFDGUSVcumM][0-9]{0,5}(\[[0-9A-Za-z]{1,8}\])?")


@dataclass(frozen=True)
class Header:
    """What a header says; in Fortran's order the first axis runs fastest, and `start` is the first element's byte."""

    dtype: np.dtype[Any]
    fortran_order: bool
    shape: tuple[int, ...]
    start: int


def map_npy(source: Source) -> NDArray[Any]:
    """The array, read-only and mapped; `source` refuses what is no array of plain elements, whole and nothing more."""
    data = np.frombuffer(source.map(), np.uint8)
    header = read_header(source, data[: len(MAGIC) + 6 + MAX_HEADER_BYTES].tobytes())
    taken, found = math.prod(header.shape) * header.dtype.itemsize, len(data) - header.start
    if taken != found:
        shape = f"shape {list(header.shape)} of {header.dtype}"
        _refuse(source, f"{shape} takes {taken:,} bytes, and {found:,} follow the header")
    elements = data[header.start :].view(header.dtype)
    try:
        return elements.reshape(header.shape[::-1]).T if header.fortran_order else elements.reshape(header.shape)
    except ValueError:
        _refuse(source, f"NumPy has no arrays of {len(header.shape)} axes and such extents")


def read_header(source: Source, data: bytes) -> Header:
    """The header in the first bytes of a file."""
    if not data.startswith(MAGIC):
        _refuse(source, "it does not begin as one")
    if len(data) < len(MAGIC) + 6:
        _refuse(source, "it ends within its header")
    version = tuple(data[len(MAGIC) : len(MAGIC) + 2])
    if version not in _LENGTH_BYTES:
        _refuse(source, f"format version {'.'.join(map(str, version))} is none of 1.0, 2.0, 3.0")
    begin = len(MAGIC) + 2 + _LENGTH_BYTES[version]
    length = int.from_bytes(data[len(MAGIC) + 2 : begin], "little")
    if length > MAX_HEADER_BYTES:
        _refuse(source, f"a header of {length:,} bytes, more than {MAX_HEADER_BYTES:,}")
    if begin + length > len(data):
        _refuse(source, "it ends within its header")
    items = _items(source, data[begin : begin + length])
    order = items["fortran_order"]
    if order not in ("True", "False"):
        _refuse(source, "its header's fortran_order is neither True nor False")
    return Header(_dtype(source, items["descr"]), order == "True", _shape(source, items["shape"]), begin + length)


def _items(source: Source, header: bytes) -> dict[str, str]:
    """The three values of a header as they are written, by their keys."""
    found = _HEADER.fullmatch(header.decode("latin-1"))
    groups = iter(found.groups() if found else ())
    items = {single or double: value for single, double, value in zip(groups, groups, groups, strict=True)}
    if set(items) != {"descr", "fortran_order", "shape"}:
        _refuse(source, "its header is not {'descr': …, 'fortran_order': …, 'shape': …} of plain elements")
    return items


def _dtype(source: Source, descr: str) -> np.dtype[Any]:
    name = descr[1:-1]
    if name.lstrip("|").startswith("O"):
        _refuse(source, "it holds Python objects, which are not unpickled")
    if not _ELEMENT.fullmatch(name):
        _refuse(source, "its header's descr is no plain element of NumPy's")
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError):
        _refuse(source, f"{name} is no element of NumPy's")
    if dtype.itemsize == 0:
        _refuse(source, f"{name} is an element without bytes")
    return dtype


def _shape(source: Source, written: str) -> tuple[int, ...]:
    """Of `(2, 3)`; one extent has its comma, as in Python."""
    found = _SHAPE.fullmatch(written)
    if not found or not (found[1] or not found[2]):
        _refuse(source, "its header's shape is not a tuple of sizes")
    return tuple(int(size.rstrip("L")) for size in re.findall(r"[0-9]+L?", written))


def _refuse(source: Source, reason: str) -> NoReturn:
    source.refuse(f"not {source.what}: {reason}")
