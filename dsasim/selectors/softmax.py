"""Masks by softmax weights: a row's maximum and sum come before its first bit (barrier: row statistics)."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsasim.masks import KeepMask
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import RowBlock

BlockScores: TypeAlias = Callable[[RowBlock], NDArray[Any]]
"""Scores [num_rows, num_keys] of a block, on the scale of the model's."""

LOWEST = -1e30
"""Stands for the maximum of a row that may attend to nothing."""


def softmax_above(layer: LayerTrace, score: BlockScores, probability: float) -> KeepMask:
    """The allowed positions whose weight, of a softmax over the row's allowed ones, is above a probability.

    Worked example: scores 0, log 2 and log 5 have weights 1/8, 2/8 and 5/8; above 1/8 are the last two.
    """
    return KeepMask.join([_above(layer, block, score(block), probability) for block in layer.row_blocks()], layer.L_k)


def _above(layer: LayerTrace, block: RowBlock, scores: NDArray[Any], probability: float) -> KeepMask:
    allowed = np.where(layer.allowed(*block), scores, -np.inf)
    weights = np.exp(allowed - allowed.max(axis=1, keepdims=True, initial=LOWEST))
    return KeepMask.from_dense(weights > probability * weights.sum(axis=1, keepdims=True))
