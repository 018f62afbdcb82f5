"""What is stored smaller than it is read: booleans and ternary values as bits, the queries' positions as the keys'."""

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]


def pack_bits(mask: Bool) -> NDArray[np.uint8]:
    """Bits packed along the last axis, the first key in the highest bit, the last byte filled with zeros."""
    return np.packbits(mask, axis=-1)


def unpack_bits(packed: NDArray[np.uint8], length: int) -> Bool:
    """Booleans [..., length] from bits packed along the last axis, the first key in the highest bit."""
    return np.unpackbits(packed, axis=-1, count=length).view(np.bool_)


def clear_padding(packed: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """The packed bits with those beyond `length` set to 0; the array itself where there are none."""
    if length % 8 == 0:
        return packed
    packed = packed.copy()
    packed[..., -1] &= np.uint8(0xFF00 >> length % 8 & 0xFF)
    return packed


def pack_ternary(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """The inverse of `unpack_ternary`."""
    return pack_bits(np.stack([values > 0, values < 0]))


def unpack_ternary(planes: NDArray[np.uint8], length: int) -> NDArray[np.int8]:
    """int8 [..., length] in {-1, 0, 1} from two bit planes [2, ..., bytes]: where 1 stands, where -1 does."""
    bits = np.unpackbits(planes, axis=-1, count=length).view(np.int8)
    ternary: NDArray[np.int8] = bits[0] - bits[1]
    return ternary


def last_rows(positions: Float32, num_rows: int) -> Float32:
    """The queries' position columns [num_rows, P]: queries are the last positions of the keys [L_k, P].

    Without columns (P = 0) there may be more queries than keys.
    """
    if positions.shape[1] == 0:
        return np.zeros((num_rows, 0), dtype=np.float32)
    return positions[len(positions) - num_rows :]
