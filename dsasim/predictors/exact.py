"""Exact attention scores of a layer: what predictions approximate."""

import numpy as np
from numpy.typing import NDArray

from dsasim.kernels.attention import score_matrix
from dsasim.trace.attention import LayerTrace


def exact_scores(layer: LayerTrace, head: int) -> NDArray[np.float32]:
    """Scores scale x q k^T + bias of a query head, float32 [L_q, L_k], as softmax sees them.

    TraceError: a layer that holds masks only.
    """
    scores = score_matrix(layer.q(head), layer.k(layer.kv_head(head)), layer.scale)
    bias = layer.bias(head)
    return scores if bias is None else scores + bias
