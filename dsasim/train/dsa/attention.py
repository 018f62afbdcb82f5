"""Attention under a keep mask, and the loss that teaches the prediction path."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from dsasim.errors import TraceError
from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.mask import MASKED_BELOW

MSE_ROWS = 64
"""Rows of a head in the loss of one pass: at 256 tokens a fifth of a joint training step is saved."""


@dataclass(frozen=True)
class Exact:
    """The model's own scaled scores [B, H, L_q, L_k] without its bias, the bias it adds (0 for none), and `allowed`."""

    scores: Any
    bias: Any
    allowed: Any
    v: Any

    @property
    def biased(self) -> Any:
        """What the softmax is taken of."""
        return self.scores if isinstance(self.bias, float) else self.scores + self.bias


def exact_scores(call: AttentionCall) -> Exact:
    """Scores of a call of scaled_dot_product_attention, grouped kv heads repeated; TraceError: other than four axes."""
    if call.q.ndim != 4:
        raise TraceError(f"queries of {call.q.ndim} axes; DSA expects [batch, heads, rows, d_head]")
    share = call.q.shape[1] // call.k.shape[1]
    k, v = (side.repeat_interleave(share, dim=1) for side in (call.k, call.v))
    allowed, bias = _allowed(call), 0.0
    if call.mask is not None and call.mask.dtype != torch.bool:
        bias = torch.where(call.mask > MASKED_BELOW, call.mask, 0.0)
    return Exact(call.scale * (call.q @ k.mT), bias, allowed, v)


def attend(exact: Exact, keep: Any, dropout: float) -> Any:
    """Softmax over the kept positions, times V: [B, H, L_q, d_head]; zeros in a row that keeps nothing."""
    dropped = (keep.to(exact.scores.dtype) - 1) * torch.finfo(exact.scores.dtype).max  # on a CPU faster than `where`
    weights = torch.softmax(exact.biased + dropped, dim=-1) * keep.any(dim=-1, keepdim=True)
    return functional.dropout(weights, dropout) @ exact.v


def mse(exact: Exact, predicted: Any, factor: Any, scale: float) -> Any:
    """Mean over allowed positions of the squared difference of both scores, each centred over its row's allowed keys.

    L_MSE of the paper, of at most MSE_ROWS rows a head (every n-th); centred because a row's selection and its softmax
    ignore a constant.
    """
    rows = slice(None, None, -(-predicted.shape[-2] // MSE_ROWS))
    scores, predicted = exact.scores[..., rows, :], predicted[..., rows, :]
    allowed = exact.allowed[..., rows if exact.allowed.shape[-2] > 1 else slice(None), :]
    difference = (scores - predicted.to(scores.dtype) * (factor * scale).to(scores.dtype)) * allowed
    counts = allowed.sum(dim=-1, keepdim=True).clamp(min=1)
    difference = (difference - difference.sum(dim=-1, keepdim=True) / counts) * allowed
    return difference.square().sum() / allowed.expand_as(difference).sum().clamp(min=1)


def _allowed(call: AttentionCall) -> Any:
    """Positions of a call that may be attended to, [B or 1, H or 1, L_q, L_k]."""
    allowed = torch.ones(1, 1, call.L_q, call.L_k, dtype=torch.bool)
    if call.causal:
        allowed = allowed.tril()
    if call.mask is None:
        return allowed
    return allowed & (call.mask if call.mask.dtype == torch.bool else call.mask > MASKED_BELOW)
