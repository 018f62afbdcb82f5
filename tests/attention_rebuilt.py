"""Attention output from nothing but a trace: the obvious twin of what a model computed."""

import numpy as np

from dsasim.trace.attention import LayerTrace


def rebuilt(layer: LayerTrace) -> np.ndarray:
    """Attention output [H, L_q, d_head] in float64, from nothing but what the trace says."""
    heads = []
    for head in range(layer.num_heads):
        kv = layer.kv_head(head)
        scores = layer.scale * layer.q(head).astype(np.float64) @ layer.k(kv).T
        bias = layer.bias(head)
        scores = np.where(layer.allowed(), scores if bias is None else scores + bias, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        heads.append(weights / weights.sum(axis=1, keepdims=True) @ layer.v(kv))
    return np.stack(heads)


def rel_l2(found: np.ndarray, wanted: np.ndarray) -> float:
    """sqrt(sum |d|^2 / sum |ref|^2)."""
    return float(np.sqrt(np.square(found - wanted).sum() / np.square(wanted).sum()))
