"""Softmax unit: exponentials and divisions of a tile's kept scores, in place in the score buffer.

The SDDMM before it has found the row maxima. A tile takes pipeline_depth + the sum over its rows of
ceil(n / exp_per_cycle) + ceil(n / div_per_cycle), n being the row's kept scores, and at least one cycle.

Worked example: depth 32, 16 exponentials and 16 divisions a cycle, rows with 16 and 17 kept scores:
32 + (1 + 1) + (2 + 2) = 38 cycles.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import SoftmaxConfig
from dsasim.designs.dsa.work import Job


def tile_job(config: SoftmaxConfig, row_counts: NDArray[np.int64]) -> Job:
    """Time of one tile from the kept scores of each of its rows."""
    exponentials = -(-row_counts // config.exp_per_cycle)
    divisions = -(-row_counts // config.div_per_cycle)
    return Job(max(1, config.pipeline_depth_cycles + int((exponentials + divisions).sum())))
