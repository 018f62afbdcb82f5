"""Booleans and ternary values as packed bits, eight keys or columns a byte."""

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]


def pack_bits(mask: Bool) -> NDArray[np.uint8]:
    """Bits packed along the last axis, the first key in the highest bit, the last byte filled with zeros."""
    return np.packbits(mask, axis=-1)


def unpack_bits(packed: NDArray[np.uint8], length: int) -> Bool:
    """Booleans [..., length] from bits packed along the last axis, the first key in the highest bit."""
    return np.unpackbits(packed, axis=-1, count=length).view(np.bool_)


def pack_ternary(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """The inverse of `unpack_ternary`."""
    return pack_bits(np.stack([values > 0, values < 0]))


def unpack_ternary(planes: NDArray[np.uint8], length: int) -> NDArray[np.int8]:
    """int8 [..., length] in {-1, 0, 1} from two bit planes [2, ..., bytes]: where 1 stands, where -1 does."""
    bits = np.unpackbits(planes, axis=-1, count=length).view(np.int8)
    ternary: NDArray[np.int8] = bits[0] - bits[1]
    return ternary
