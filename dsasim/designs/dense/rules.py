"""How long the units of a dense machine work on a tile of queries and one of keys, in closed form.

The array of R x C PEs is taken apart in p sub-arrays of R / p rows. A block is R / p query rows of a tile; its scores
S = Q K^T are cut into folds of C keys, one a sub-array at a time, all on the same rows: as if the array had R / p rows
of p C PEs. Outputs are stationary, and each PE has a second register, so that folds follow each other without a gap
(`mappings.folds`), also those of two products. A column of R PEs has one port at the bottom:

    a fold takes max(stream, R) cycles;
    its last result has left R + R / p + C - 2 cycles after its last element has entered: R to leave, and the skew

    product      folds of a block                      stream
    S = Q K^T    ceil(keys / (p C))                    d_head
    O += P V     ceil(d_head / ((p / s) C))            ceil(keys / s)

The keys of a tile are split over s groups of sub-arrays with sums of their own, which are added at the end of the query
tile. A block goes along the keys to the span of its longest row, one key at least. Ports of the K or V buffer that are
too slow stretch the stream, and the excess is bank conflict. Taking arrays apart is of ReDas (Han et al., arXiv
2302.07520), splitting keys of FlashAttention's kernels for decoding (Dao et al., `num_splits`).

Worked example: 20 keys and d_head 8 on 4 x 4 PEs. Whole: 5 folds of 8 and 2 of 20 cycles, 40 and 40, and a result has
left after 10 more. In 2 sub-arrays of 2 rows: 3 folds of 8 and 1 of 20, 24 and 20, and 8 more; with the keys split in
2, the outputs are 2 folds of 10.

Online softmax (Milakov & Gimelshein, arXiv 1805.02867; FlashAttention-2, arXiv 2307.08691): the maximum of a row's
scores is found as they leave the array. The softmax unit makes the exponentials of a row E at a time, and those of the
changes of the maximum, E rows at a time, if these are not the tile's first keys:

    depth + sum over rows of ceil(keys / E) + ceil(rows / E)

Worked example: depth 32, E = 16, rows of 16 and 17 keys: 32 + 1 + 2 + 1 = 36 cycles, 35 if they are the first.

Before the array adds to them, the rescaler multiplies the sums of all rows by that change; after the last keys it adds
the parts of split keys and divides by the sum of the exponentials, by a reciprocal a row:

    depth + ceil(rows * d_head * s / sums_per_cycle)

and more where the ports of the output buffer cannot read and write as many sums in a cycle. Worked example: depth 4, 3
rows of 8 sums, 16 a cycle: 4 + 2 = 6 cycles.
"""

from typing import Any, NamedTuple

import numpy as np

from dsasim.designs.dense.config import DenseConfig
from dsasim.mappings.folds import operand_stretch


class Mapping(NamedTuple):
    """Tiles of `query_rows` rows of each head by `keys`; the array in `sub_arrays`, the keys in `key_splits`."""

    query_rows: int
    keys: int
    sub_arrays: int = 1
    key_splits: int = 1


class Rules:
    """Times of a machine under a mapping, for vectors of `d_head`. Widths are keys, a number or an array of numbers."""

    def __init__(self, config: DenseConfig, mapping: Mapping, d_head: int) -> None:
        array, buffers = config.array, config.buffers
        self.mapping = mapping
        self.block_rows = array.rows // mapping.sub_arrays
        self.lag = array.rows + self.block_rows + array.columns - 2
        """Cycles from the end of a product until its last result has left the array."""
        self.exp_per_cycle = config.softmax.exp_per_cycle
        self.sums = d_head * mapping.key_splits
        """Sums of a row."""
        self._config = config
        self._d_head = d_head
        self._columns = array.columns * mapping.sub_arrays
        bits = self._columns * array.bits
        self._stretch = {name: operand_stretch(bits, getattr(buffers, name)) for name in ("k", "v")}
        self._sum_stretch = operand_stretch(2 * config.rescaler.sums_per_cycle * config.sum_bits, buffers.output)

    def score_folds(self, widths: Any) -> Any:
        """Folds of a block's scores."""
        return -(-widths // self._columns)

    @property
    def output_folds(self) -> int:
        """Folds of a block's outputs."""
        return -(-self._d_head * self.mapping.key_splits // self._columns)

    def score_cycles(self, widths: Any, *, conflicts: bool = True) -> Any:
        """Cycles of the scores of a block; without `conflicts` those of a buffer whose ports keep up."""
        return self.score_folds(widths) * self._fold(self._d_head, "k", conflicts)

    def output_cycles(self, widths: Any, *, conflicts: bool = True) -> Any:
        """Cycles of the outputs of a block."""
        stream = -(-widths // self.mapping.key_splits)
        return (widths > 0) * self.output_folds * self._fold(stream, "v", conflicts)

    def exp_groups(self, numbers: Any) -> Any:
        """Cycles in which exponentials are started."""
        return -(-numbers // self.exp_per_cycle)

    def softmax_cycles(self, exponentials: int, rows: int, *, first: bool) -> int:
        """Cycles of a tile of `rows`, `exponentials` of them for its scores; the `first` keys change no maximum."""
        return self._config.softmax.pipeline_depth_cycles + exponentials + (0 if first else int(self.exp_groups(rows)))

    def rescale_cycles(self, rows: int) -> int:
        """Cycles of all sums of these rows."""
        rescaler = self._config.rescaler
        return rescaler.pipeline_depth_cycles + -(-rows * self.sums * self._sum_stretch // rescaler.sums_per_cycle)

    def _fold(self, stream: Any, buffer: str, conflicts: bool) -> Any:
        return np.maximum(stream * (self._stretch[buffer] if conflicts else 1), self._config.array.rows)
