"""Exact attention scores of a head, a block of rows at a time: what predictions approximate."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.kernels.attention import score_rows, tile_keys
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import RowBlock

Scorer = Callable[[RowBlock], NDArray[np.float32]]
"""Scores float32 [num_rows, num_keys] of a block."""


def exact_scorer(layer: LayerTrace, head: int) -> Scorer:
    """Scores scale x q k^T + bias of a query head, as softmax sees them; the same bits however rows are cut in blocks.

    TraceError: a layer that holds masks only; from the scorer, scores that float32 cannot hold.
    """
    queries, keys = layer.q(head), tile_keys(layer.k(layer.kv_head(head)))

    def score(block: RowBlock) -> NDArray[np.float32]:
        first, num_rows, num_keys = block
        scores = score_rows(queries[block.rows], keys, num_keys, layer.scale)
        bias = layer.bias(head, first, num_rows)
        if bias is not None:
            with np.errstate(over="ignore"):
                scores += bias[:, :num_keys]
        if not np.isfinite(scores).all():
            raise TraceError(
                f"{layer.source.label}: layer {layer.label} head {head}: scores scale * q k^T + bias overflow float32"
            )
        return scores

    return score
