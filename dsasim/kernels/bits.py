"""From booleans and packed bits to kept keys: int32, ascending in each row, as CSR."""

from typing import Any

import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from dsasim.kernels.jit import njit

Bool = NDArray[np.bool_]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@intrinsic
def _lowest_bit(_typing: Any, value: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return value(value), code


lowest_bit: Any = _lowest_bit
"""Number of the lowest bit set in an int64 that is not 0: 0b1010 has bit 1. For kernels only."""


@njit()
def true_keys(mask: Bool) -> tuple[Int64, Int32]:
    """The true positions of a bool [rows, keys]: indptr int64 [rows + 1], indices int32 [nnz].

    Worked example: [[1, 0, 1], [0, 0, 0]] has indptr 0 2 2 and indices 0 2.
    """
    num_rows, num_keys = mask.shape
    indptr = np.zeros(num_rows + 1, np.int64)
    for i in range(num_rows):
        count = 0
        for j in range(num_keys):
            count += mask[i, j]
        indptr[i + 1] = indptr[i] + count
    indices = np.empty(indptr[num_rows] + 1, np.int32)  # one more: where a false key after the last true one lands
    at = 0
    for i in range(num_rows):
        for j in range(num_keys):
            indices[at] = j
            at += mask[i, j]
    return indptr, indices[:at]


@njit()
def set_keys(packed: NDArray[np.uint8]) -> tuple[Int64, Int32]:
    """The bits set in uint8 [rows, bytes], the first key in the highest bit: indptr int64 [rows + 1], indices [nnz].

    Worked example: a row of the bytes 0b10100000 0b00000001 keeps keys 0 2 15.
    """
    num_rows, num_bytes = packed.shape
    ones = np.zeros(256, np.int64)
    for value in range(1, 256):
        ones[value] = ones[value >> 1] + (value & 1)
    indptr = np.zeros(num_rows + 1, np.int64)
    for i in range(num_rows):
        count = 0
        for byte in range(num_bytes):
            count += ones[packed[i, byte]]
        indptr[i + 1] = indptr[i] + count
    indices = np.empty(indptr[num_rows], np.int32)
    at = 0
    for i in range(num_rows):
        for byte in range(num_bytes):
            value = packed[i, byte]
            if value:
                for bit in range(8):
                    if value & (128 >> bit):
                        indices[at] = 8 * byte + bit
                        at += 1
    return indptr, indices
