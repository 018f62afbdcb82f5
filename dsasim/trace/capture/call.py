"""One attention computation as tensors of the model, and one sample of it as [heads, rows, d_head]."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.trace.capture.mask import MASKED_BELOW

Tensor = torch.Tensor
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class AttentionCall:
    """softmax(scale * q k^T + mask) v = out, as the model computed it.

    q [..., L_q, d_head]; k, v [..., L_k, d_head], with fewer heads in the last leading axis when `grouped`; out
    [..., L_q, d_head]; leading axes are batch axes, then head axes. `mask` (boolean, True = allowed, or added to the
    scores) and `scores`, what went into softmax, broadcast to [..., L_q, L_k]; at most one of the two is given.
    `causal`: key j for row i if j <= i, as scaled_dot_product_attention means it. `swapped`: q and k of the model's
    score product in exchanged roles (the second direction of a shared cross-attention). `dropout`: share of the
    probabilities that the model dropped. `route` names what was seen, `altered` what was done to the scores that is
    neither scale nor bias. `precision`: the type the scores were computed in, q's own when None.
    """

    q: Any
    k: Any
    v: Any
    out: Any
    scale: float
    route: str
    mask: Any = None
    scores: Any = None
    causal: bool = False
    grouped: bool = False
    swapped: bool = False
    dropout: float = 0.0
    precision: Any = None
    altered: str = ""

    @property
    def eps(self) -> float:
        """Machine epsilon of the least precise type in the computation."""
        types = (self.q.dtype, self.out.dtype, self.precision or self.q.dtype)
        return max(float(torch.finfo(dtype).eps) for dtype in types)

    @property
    def lead(self) -> tuple[int, ...]:
        """The leading axes: batch, then heads."""
        return tuple(self.out.shape[:-2])

    @property
    def L_q(self) -> int:
        """Query rows."""
        return int(self.q.shape[-2])

    @property
    def L_k(self) -> int:
        """Keys."""
        return int(self.k.shape[-2])


@dataclass(frozen=True)
class Sample:
    """One element of the batch: q [H, L_q, d], k and v [H_kv, L_k, d], out [H, L_q, d], float32.

    `mask` is bool or float32 [1 or H, L_q, L_k] (added to the scores, very negative where not allowed), or None.
    """

    q: Float32
    k: Float32
    v: Float32
    out: Float32
    mask: NDArray[Any] | None


def one_query_unfolded(call: AttentionCall) -> AttentionCall:
    """A call whose rows are the query heads of a kv head, for a single query, with heads as heads again.

    transformers hands scaled_dot_product_attention q [B, H_kv, H / H_kv, d] in a decode step with a mask.
    """
    rows = call.L_q

    def as_heads(tensor: Any) -> Any:
        return tensor.flatten(-3, -2).unsqueeze(-2)

    mask = call.mask
    if mask is not None:
        mask = as_heads(mask.expand(*call.lead, rows, call.L_k))
    return replace(call, q=as_heads(call.q), out=as_heads(call.out), mask=mask, grouped=True)


def without_trailing_keys(sample: Sample, keys: int) -> Sample:
    """The sample with its first `keys` keys, when its mask lets no row see another (free slots of a static cache)."""
    if sample.mask is None or keys >= sample.k.shape[1]:
        return sample
    beyond = sample.mask[:, :, keys:]
    if (beyond if beyond.dtype == np.bool_ else beyond > MASKED_BELOW).any():
        return sample
    return replace(sample, k=sample.k[:, :keys], v=sample.v[:, :keys], mask=sample.mask[:, :, :keys])


def one_sample(call: AttentionCall, batch: int, sample: int) -> Sample:
    """The `sample`-th of `batch` elements of a call; TraceError when the axes do not say which are the heads."""

    def pick(tensor: Any, lead: Any) -> Any:
        return _pick(tensor.detach(), tuple(lead), batch, sample)

    q_lead, kv_lead, v_lead = _leading_axes(call)
    q, out = pick(call.q, q_lead), pick(call.out, call.lead)
    k, v = pick(call.k, kv_lead), pick(call.v, v_lead)
    if call.scores is not None:
        mask = added_to_scores(pick(call.scores, call.scores.shape[:-2]), q, k, call.scale, call.eps)
    else:
        rows = None if call.mask is None else call.mask.expand(*call.lead, call.L_q, call.L_k)
        mask = None if rows is None else _one_if_shared(pick(rows, call.lead))
    k, v = once_a_kv_head(k, v)
    return Sample(_numpy(q), _numpy(k), _numpy(v), _numpy(out), None if mask is None else _mask_numpy(mask))


def first_head_keys(call: AttentionCall, batch: int, sample: int) -> Float32:
    """Keys [L_k, d_head] of one sample's first head."""
    return _numpy(_pick(call.k.detach(), tuple(_leading_axes(call)[1]), batch, sample)[0])


def _leading_axes(call: AttentionCall) -> tuple[Any, Any, Any]:
    """Those of q, k and v, broadcast against each other except over grouped heads."""
    if call.grouped:
        lead = call.q.shape[:-2]
        kv_lead = (*lead[:-1], call.k.shape[-3])
        return lead, kv_lead, kv_lead
    lead = torch.broadcast_shapes(call.q.shape[:-2], call.k.shape[:-2])
    return lead, lead, call.lead


def _one_if_shared(mask: Any) -> Any:
    """One head of a mask that is the same memory for all of them."""
    return mask[:1] if mask.shape[0] > 1 and mask.stride(0) == 0 else mask


def _pick(tensor: Any, lead: tuple[int, ...], batch: int, sample: int) -> Any:
    """[heads, L, d] of one sample: the leading axes whose product is `batch` are the batch, the others are heads."""
    tensor = tensor.expand(*lead, *tensor.shape[-2:])
    for split in range(len(lead) + 1):
        if math.prod(lead[:split]) == batch:
            index = tuple(int(at) for at in np.unravel_index(sample, lead[:split])) if split else ()
            return tensor[index].reshape(-1, *tensor.shape[-2:])
    if len(lead) == 1 and lead[0] % batch == 0:
        heads = lead[0] // batch
        return tensor[sample * heads : (sample + 1) * heads]
    raise TraceError(f"leading axes {list(lead)} do not split into a batch of {batch} and heads")


def once_a_kv_head(k: Any, v: Any) -> tuple[Any, Any]:
    """Keys and values once a kv head: runs of equal heads [H, L_k, d] are one (models repeat them before the product).

    The largest run length that divides H and leaves every run equal, in keys and in values.
    """
    heads = k.shape[0]
    for run in range(heads, 1, -1):
        if heads % run == 0 and _runs_equal(k, run) and _runs_equal(v, run):
            return k[::run], v[::run]
    return k, v


def _runs_equal(tensor: Any, run: int) -> bool:
    runs = tensor.reshape(-1, run, *tensor.shape[1:])
    return all(bool(torch.equal(runs[:, 0], runs[:, other])) for other in range(1, run))


ROUNDING = 64
"""Differences below this many machine epsilons of the largest score are rounding, not a bias of the model."""


def added_to_scores(scores: Any, q: Any, k: Any, scale: float, eps: float) -> Any:
    """What the model added to scale * q k^T before softmax [1 or H, L_q, L_k], -inf where masked; None for nothing.

    Scores are the model's own [H, L_q, L_k], computed to `eps` and compared in float32, so whatever it did to them
    (bias, mask, soft cap) is in the difference.
    """
    tolerance = ROUNDING * max(eps, *(float(torch.finfo(kind).eps) for kind in (scores.dtype, torch.float32)))
    added: list[Any] = []
    run = q.shape[0] // k.shape[0]
    for head in range(scores.shape[0]):
        final = scores[head].float()
        difference = final - scale * (q[head].float() @ k[head // run].float().mT)
        allowed = final > MASKED_BELOW
        difference = torch.where(allowed, difference, 0.0)
        largest = max(1.0, float(torch.where(allowed, final, 0.0).abs().max()))
        if float(difference.abs().max()) <= tolerance * largest:
            difference.zero_()
        difference.masked_fill_(~allowed, -torch.inf)
        added.append(difference)
    if all(_close(other, added[0], tolerance) for other in added[1:]):
        added = added[:1]
    if len(added) == 1 and not added[0].any():
        return None
    return torch.stack(added)


def _close(a: Any, b: Any, tolerance: float) -> bool:
    return bool(torch.equal(a, b)) or bool(torch.allclose(a, b, rtol=tolerance, atol=tolerance))


def _numpy(tensor: Any) -> Float32:
    array: Float32 = tensor.to(device="cpu", dtype=torch.float32).contiguous().numpy().copy()
    return array


def _mask_numpy(mask: Any) -> NDArray[Any]:
    array: NDArray[Any] = mask.cpu().numpy() if mask.dtype == torch.bool else mask.to("cpu", torch.float32).numpy()
    return array
