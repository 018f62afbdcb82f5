"""An attention of a model as DSA sees it, its output under a keep mask, and the loss that teaches the path."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.mask import MASKED_BELOW

MSE_ROWS = 64
"""Rows of a head in the loss of one pass: at 256 tokens a fifth of a joint training step is saved."""


@dataclass(frozen=True)
class ExactScores:
    """q [B, H, L_q, d] and k [B, H, L_k, d], grouped kv heads repeated; `scores` as they go into softmax, with bias.

    `scores` [B, H, L_q, L_k]; `allowed` bool, broadcast to it; `products` are scale * q k^T, None where the model made
    the scores itself.
    """

    q: Any
    k: Any
    scale: float
    scores: Any
    allowed: Any
    products: Any = None

    @classmethod
    def of(cls, call: AttentionCall, batch: int) -> "ExactScores":
        """A call of a model, its leading axes split into `batch` and heads."""
        q, k = as_heads(call.q, call.lead, batch), as_heads(_repeated(call.k, call), call.lead, batch)
        if call.scores is not None:
            scores = as_heads(call.scores, call.lead, batch)
            return cls(q, k, call.scale, scores, scores > MASKED_BELOW)
        scores = products = call.scale * (q @ k.mT)
        allowed = torch.ones(1, 1, call.L_q, call.L_k, dtype=torch.bool, device=q.device)
        if call.causal:
            allowed = allowed.tril()
        if call.mask is not None:
            mask = as_heads(call.mask.expand(*call.lead, call.L_q, call.L_k), call.lead, batch)
            allowed = allowed & (mask if mask.dtype == torch.bool else mask > MASKED_BELOW)
            if mask.dtype != torch.bool:
                scores = scores + torch.where(mask > MASKED_BELOW, mask, 0.0)
        return cls(q, k, call.scale, scores, allowed, products)

    def products_of(self, rows: slice) -> Any:
        """Scale * q k^T of some rows [B, H, rows, L_k], without what the model adds."""
        if self.products is not None:
            return self.products[..., rows, :]
        return self.scale * (self.q[..., rows, :] @ self.k.mT)


def as_heads(tensor: Any, lead: tuple[int, ...], batch: int) -> Any:
    """[..., L, d] whose leading axes broadcast to `lead`, batch first, as [B, H, L, d]."""
    return tensor.expand(*lead, *tensor.shape[-2:]).reshape(batch, -1, *tensor.shape[-2:])


def kept_softmax(scores: Any, keep: Any) -> tuple[Any, Any]:
    """Scores that softmax makes nothing of where `keep` is False, and 1 for rows that keep something, else 0."""
    return torch.where(keep, scores, torch.finfo(scores.dtype).min), keep.any(dim=-1, keepdim=True)


def attend(call: AttentionCall, exact: ExactScores, keep: Any) -> Any:
    """The call's output [..., L_q, d] over positions of `keep` [B, H, L_q, L_k]; zeros in a row that keeps nothing."""
    scores, some = kept_softmax(exact.scores, keep)
    weights = functional.dropout(torch.softmax(scores, dim=-1) * some, call.dropout)
    out = weights @ as_heads(_repeated(call.v, call), call.lead, len(weights))
    return out.reshape(*call.lead, *out.shape[-2:])


def mse(exact: ExactScores, predicted: Any, factor: Any) -> Any:
    """Mean over allowed positions of the squared difference of both scores, each centred over its row's allowed keys.

    L_MSE of the paper, of at most MSE_ROWS rows a head (every n-th), without what the model adds to scale * q k^T;
    centred because a row's selection and its softmax ignore a constant. `factor` makes `predicted` q k^T.
    """
    rows = slice(None, None, -(-predicted.shape[-2] // MSE_ROWS))
    scores = exact.products_of(rows)
    allowed = exact.allowed[..., rows if exact.allowed.shape[-2] > 1 else slice(None), :]
    predicted = predicted[..., rows, :].to(scores.dtype) * (factor * abs(exact.scale)).to(scores.dtype)
    difference = (scores - predicted) * allowed
    counts = allowed.sum(dim=-1, keepdim=True).clamp(min=1)
    difference = (difference - difference.sum(dim=-1, keepdim=True) / counts) * allowed
    return difference.square().sum() / allowed.expand_as(difference).sum().clamp(min=1)


def _repeated(side: Any, call: AttentionCall) -> Any:
    """Keys or values once a query head."""
    return side.repeat_interleave(call.lead[-1] // side.shape[-3], dim=-3) if call.grouped else side
