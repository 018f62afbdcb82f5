"""Exact attention in PyTorch: float64 on the CPU, from nothing but the stored operands."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.trace.attention import LayerTrace
from dsasim.trace.packing import Bool

Float64 = NDArray[np.float64]


def exact_scores(layer: LayerTrace, head: int, rows: slice | NDArray[np.integer]) -> Any:
    """Scale x q k^T + bias, a float64 tensor [rows, L_k]: what softmax is of, where a position is allowed."""
    q = torch.from_numpy(layer.q(head)[rows]).double()
    k = torch.from_numpy(layer.k(layer.kv_head(head))).double()
    scores = layer.scale * (q @ k.T)
    bias = bias_rows(layer, head, rows)
    return scores if bias is None else scores + torch.from_numpy(bias).double()


def exact_weights(scores: Any, keep: Any) -> Any:
    """Softmax of scores [rows, L_k] over kept positions (bool), float64; rows that keep nothing are zero."""
    return torch.softmax(scores.masked_fill(~keep, -math.inf), dim=-1).masked_fill(~keep, 0.0)


def exact_attention(layer: LayerTrace, head: int, rows: slice | NDArray[np.integer], keep: Bool) -> Float64:
    """Attention of some rows over the positions `keep` [rows, L_k]: float64 [rows, d_head]."""
    weights = exact_weights(exact_scores(layer, head, rows), torch.from_numpy(keep))
    values = torch.from_numpy(layer.v(layer.kv_head(head))).double()
    output: Float64 = (weights @ values).numpy()
    return output


def allowed_rows(layer: LayerTrace, rows: NDArray[np.integer]) -> Bool:
    """Whether each of some rows may attend to each key, bool [rows, L_k]."""
    return np.concatenate([layer.allowed(int(row), 1) for row in rows])


def bias_rows(layer: LayerTrace, head: int, rows: slice | NDArray[np.integer]) -> NDArray[np.float32] | None:
    """What the model adds to the scores of some rows [rows, L_k], or None."""
    if isinstance(rows, slice):
        return layer.bias(head, rows.start, rows.stop - rows.start)
    parts = [part for row in rows if (part := layer.bias(head, int(row), 1)) is not None]
    return np.concatenate(parts) if parts else None
