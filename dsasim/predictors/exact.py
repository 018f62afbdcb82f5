"""Exact attention scores of a layer: what predictions approximate."""

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.kernels.attention import score_matrix
from dsasim.trace.attention import LayerTrace


def exact_scores(layer: LayerTrace, head: int) -> NDArray[np.float32]:
    """Scores scale x q k^T + bias of a query head, float32 [L_q, L_k], as softmax sees them.

    TraceError: a layer that holds masks only, or scores that float32 cannot hold.
    """
    scores = score_matrix(layer.q(head), layer.k(layer.kv_head(head)), layer.scale)
    bias = layer.bias(head)
    scores = scores if bias is None else scores + bias
    if not np.isfinite(scores).all():
        raise TraceError(f"layer {layer.number} head {head} of the trace: scores scale * q k^T + bias overflow float32")
    return scores
