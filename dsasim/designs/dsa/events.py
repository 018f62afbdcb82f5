"""Groups of query rows as units count them, and sums of events a tile.

Who counts which bytes of a buffer (a value written once by its maker and read once by each reader):

    q        DMA writes a tile's rows; each row is read once into its lane (a systolic array: `products`)
    k, v     DMA writes a head, or the vectors that a cache lacks; read once per vector that the array's steps fetch
    score    SDDMM writes each kept score; softmax reads and writes it twice (exponential, division); SpMM reads it
    mask     written by the mask generator, one bit a position up to the group's span; read by the scheduler, which
             writes a reordered plan over it, and spilled keys, which it reads back; SDDMM and SpMM each read the plan
             (in order: the mask)
    output   SpMM writes each row once; DMA reads it
             (dense products of a layer, `dense_products`: activations in q, weights in k, results in output)
    predictor
             DMA writes P, X and weights; each product reads its operands and writes its result (`predictor.product`);
             the mask generator reads the scores, and writes and reads what its top-k unit passes over again

Each is counted by the job that moves it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.machine.job import Events

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """The groups of some rows: `rows` [groups] in each, and `spans` [groups], the keys from 0 that each may keep."""

    rows: Int64
    spans: Int64

    def scores(self, block_rows: int = 1, block_keys: int = 1, together: int = 1) -> Int64:
        """Scores that are made and selected from, of each group; of blocks of positions, of each `together` groups.

        Worked example: two groups of 4 rows with spans 7 and 9 have 28 and 36 scores, and together 2 of blocks of
        8 x 8.
        """
        starts = np.arange(0, len(self.rows), together)
        rows, spans = np.add.reduceat(self.rows, starts), np.maximum.reduceat(self.spans, starts)
        made: Int64 = -(-rows // block_rows) * -(-spans // block_keys)
        return made

    @property
    def mask_bytes(self) -> Int64:
        """Mask bits of each group, each row's in whole bytes."""
        return self.rows * -(-self.spans // 8)


def tile_sums(values: Int64, per_tile: int) -> list[int]:
    """Sums of each `per_tile` values, those of a tile's rows or groups; the last tile may have fewer.

    Worked example: 1, 2, 3 and 4 two by two are 3 and 7.
    """
    sums: list[int] = np.add.reduceat(values, np.arange(0, len(values), per_tile)).tolist()
    return sums


def added(*counted: Events) -> Events:
    """The sum of events, name by name."""
    total: dict[str, int] = {}
    for events in counted:
        for name, number in events.items():
            total[name] = total.get(name, 0) + number
    return total
