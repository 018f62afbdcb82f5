"""Mask generator: a tile of approximate scores becomes a bit mask, one selector a row at a time.

Under `threshold` a selector takes ceil(n / comparators) cycles for a row of n allowed keys. Under `top_k` it is a
quick-select unit, which takes ceil(remaining / comparators) + 3 for each pass that it really makes (`kernels.select`),
or a bitonic sorter with a merger (`predictors.merge_unit`). Row r of a tile goes to selector r mod num_selectors, which
starts its next row when it has ended one; the tile is done when its slowest selector is, after at least one cycle.

Row barrier: no row is begun before the scores of its whole tile are in the predictor's buffer. A top-k needs its row's
last score before it may drop any; a comparator does not, and waits all the same: units hand over whole tiles.

Worked example: two selectors, rows that need 10, 4, 3, 9 cycles: max(10 + 3, 4 + 9) = 13 cycles.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.designs.dsa.work import Job


def tile_job(row_cycles: NDArray[np.int64], num_selectors: int) -> Job:
    """Time of one tile from what each of its rows takes a selector."""
    rows = np.zeros(-(-len(row_cycles) // num_selectors) * num_selectors, np.int64)
    rows[: len(row_cycles)] = row_cycles
    return Job(max(1, int(rows.reshape(-1, num_selectors).sum(axis=0).max())))
