"""No prediction: every allowed position is kept."""

import numpy as np

from dsasim.kernels.bits import true_keys
from dsasim.predictors.base import KeepMask, Selection
from dsasim.trace.attention import LayerTrace


class Dense:
    """Keeps every allowed position, free of charge; the same mask for all heads."""

    work = None

    def __init__(self, layer: LayerTrace) -> None:
        indptr = np.concatenate([[0], np.cumsum(layer.allowed_counts)])
        indices = np.empty(indptr[-1], np.int32)
        for block in layer.row_blocks():
            first, last = indptr[block.first], indptr[block.first + block.num_rows]
            indices[first:last] = true_keys(layer.allowed(*block))[1]
        self._selection = Selection.free(KeepMask(indptr, indices, layer.L_k))

    def select(self, _head: int, /) -> Selection:
        """All allowed positions."""
        return self._selection
