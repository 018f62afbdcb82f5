"""The bitonic top-k unit: a sorter of p scores feeds a merge network that keeps the best k of a row, in blocks of p.

A row's n allowed scores arrive p a cycle, C = ceil(n / p) chunks, the last one filled up with entries that lose to all.
Chunks go through a pipelined bitonic sorter of S = log2(p) (log2(p) + 1) / 2 stages of p / 2 compare-exchanges (K. E.
Batcher, "Sorting networks and their applications", AFIPS 1968, doi 10.1145/1468075.1468121; 16 inputs: 80 of them in
10 stages). Scores are compared with their keys, the lowest key first among equals, so the kept keys are those of
quick-select.

The best entries so far are a sorted list of at most K = ceil(k / p) blocks of p. A sorted chunk is merged into it one
block a cycle, best block first, by a bitonic merger of 2p inputs (log2(p) + 1 levels of p compare-exchanges): the
better half stays, the other half goes on to the next block, and drops out after block K; an empty block takes it as it
is. So chunk c (from 0) takes min(c + 1, K) steps, and waits for the chunk before it. The last chunk passes every block,
and the first k entries set their mask bits on the way. A row takes S cycles until its first chunk is sorted, then all
its steps; the next row starts when it has ended. A row that wants nothing takes no time.

Worked example, p = 4, n = 10, k = 5: S = 3, C = 3, K = 2, steps 1 + 2 + 2 = 5: 8 cycles. Comparisons: 3 chunks x 2 x 3
in the sorter; 3 of the steps meet a full block, 4 x 3 each in the merger: 18 + 36 = 54. Entries: each step writes a
block of 4, those that meet a full one read it first: 20 written, 12 read.

That a merge of log2(p) + 1 levels fits a cycle is assumed.
"""

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


def compare_exchanges(width: int) -> int:
    """Compare-exchanges of the unit: those of the sorter's stages and of the merger's levels; 16: 80 + 80."""
    return sorter_stages(width) * width // 2 + merger_levels(width) * width


def sorter_stages(width: int) -> int:
    """Stages S of a bitonic sorter of `width` inputs, a power of two: each of width / 2 compare-exchanges."""
    levels = width.bit_length() - 1
    return levels * (levels + 1) // 2


def merger_levels(width: int) -> int:
    """Levels of a bitonic merger of two sorted blocks of `width`: each of `width` compare-exchanges."""
    return width.bit_length()


def merge_work(allowed_counts: Int64, kept_counts: Int64, width: int) -> tuple[Int64, Int64, Int64, Int64]:
    """The work for rows of n allowed scores of which k are kept, both int64 [rows]; `width` is p, a power of two.

    Returns cycles, comparisons, list entries read and written, as `masks.Selection` has them.
    """
    chunks = np.where(kept_counts > 0, -(-allowed_counts // width), 0)
    blocks = -(-kept_counts // width)
    filled = np.minimum(chunks, blocks)
    steps = filled * (filled + 1) // 2 + (chunks - filled) * blocks
    merges = steps - filled
    in_sorter = chunks * (sorter_stages(width) * width // 2)
    cycles = np.where(chunks > 0, sorter_stages(width) + steps, 0)
    return cycles, in_sorter + merges * merger_levels(width) * width, merges * width, steps * width
