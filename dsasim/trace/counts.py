"""How many keys a row keeps at a density, exactly."""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


def ceil_share(share: Decimal, whole: int) -> int:
    """ceil(share x whole), exactly.

    Worked example: 0.1 of 20 is 2 and of 21 is 3; in floating point 0.07 of 100 would be 8.
    """
    numerator, denominator = share.as_integer_ratio()
    return -(-whole * numerator // denominator)


def kept_counts(allowed_counts: Int64, density: Decimal) -> Int64:
    """Keys that each row keeps: max(1, ceil(density x n)) of its n allowed keys, 0 of none; both int64 [rows]."""
    distinct, row_kinds = np.unique(allowed_counts, return_inverse=True)
    numerator, denominator = density.as_integer_ratio()
    counts = [max(1, -(-n * numerator // denominator)) if n else 0 for n in distinct.tolist()]
    kept: Int64 = np.array(counts, dtype=np.int64)
    return kept[row_kinds]
