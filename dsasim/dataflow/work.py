"""What a dataflow asks of the array for one product (SDDMM or SpMM) of a head, job by job."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ArrayWork(NamedTuple):
    """Time and reads of one product; a job is a tile, or a part of one.

    A lane that is neither busy nor in conflict waits for other lanes (imbalance).
    """

    cycles: NDArray[np.int64]  # [jobs]
    busy_cycles: NDArray[np.int64]  # [jobs, lanes]
    conflict_cycles: NDArray[np.int64]  # [jobs, lanes]
    vector_reads: NDArray[np.int64]  # [jobs]
    """K or V vectors read from the buffer; one that several lanes want in a step is read once if they step together."""
    rereads: NDArray[np.int64]  # [jobs]
    """Elements of Q or P read beyond once each: a systolic array streams them again for every column fold."""
    partial_sums: NDArray[np.int64]  # [jobs]
    """Sums that leave the array unfinished and return to it from the output's buffer."""
