"""Traces for machines that look at shapes alone."""

import numpy as np

from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory


def zeros(
    heads: int,
    kv_heads: int,
    L_q: int,
    L_k: int,
    d_head: int,
    *,
    causal: bool = False,
    allowed: np.ndarray | None = None,
    layers: int = 1,
) -> AttentionTrace:
    """Equal layers of zeros; `allowed` bool [L_q, L_k]: what is stored of the positions."""
    q, k = np.zeros((heads, L_q, d_head), np.float32), np.zeros((kv_heads, L_k, d_head), np.float32)
    x_q, x_kv = np.zeros((L_q, 1), np.float32), np.zeros((L_k, 1), np.float32)
    arrays = [
        LayerArrays(number, q, k, k, x_q, causal, 1.0, x_kv=None if L_q == L_k else x_kv, allowed=allowed)
        for number in range(layers)
    ]
    return trace_in_memory("zeros", arrays)
