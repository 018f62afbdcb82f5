"""A transformers model whose attention keeps only what masks keep, layer by layer while it runs.

transformers hands every attention to a registered function. Ours makes a layer of a trace in memory of what it is
given, asks dsasim for the masks, and attends under them in the model's own precision. The layer is stored as float16,
like a capture: the masks are, bit for bit, those of the captured layer.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from dsasim.errors import TraceError
from dsasim.evaluate.masks import Masks
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import FittedPredictor, LayerTrace
from dsasim.trace.capture.mask import positions
from dsasim.trace.store import trace_in_memory

NAME = "dsasim_masked"
Fits = Mapping[int, FittedPredictor | None]
"""The layers that are masked, and what each predicts with."""


@dataclass
class MaskedAttention:
    """The attention of every layer; those of `fits` are masked while `masks` is set, and counted."""

    fits: Fits
    masks: Masks | None = None
    kept: int = 0
    allowed: int = 0
    layers: dict[int, str] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    _inputs: dict[int, Any] = field(default_factory=dict)

    def attach(self, model: Any) -> list[Any]:
        """Hooks that keep what each module was given until its attention runs."""
        self._names = {id(module): name for name, module in model.named_modules()}
        return [module.register_forward_pre_hook(self._given, with_kwargs=True) for module in model.modules()]

    def _given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = args[0] if args else kwargs.get("hidden_states")
        if isinstance(x, torch.Tensor) and x.ndim == 3:
            self._inputs[id(module)] = x

    def __call__(
        self, module: Any, q: Any, k: Any, v: Any, attention_mask: Any, scaling: float | None = None, **options: Any
    ) -> tuple[Any, None]:
        """Of transformers: q [B, H, L_q, d], k and v [B, H_kv, L_k, d] to [B, L_q, H, d]; B = 1 if masked."""
        number = self._number(module)
        x = self._inputs.pop(id(module), None)
        scale = q.shape[-1] ** -0.5 if scaling is None else scaling
        causal = q.shape[2] > 1 and attention_mask is None and options.get("is_causal", module.is_causal)
        mask, empty = attention_mask, None
        if self.masks is not None and number in self.fits:
            mask = self._kept(number, q, k, v, x, attention_mask, scale, causal=causal)
            causal, empty = False, ~mask.any(dim=-1, keepdim=True)
        run = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(run, dim=1), v.repeat_interleave(run, dim=1)
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, is_causal=causal)
        if empty is not None:
            out = out.masked_fill(empty, 0.0)
        return out.transpose(1, 2).contiguous(), None

    def _number(self, module: Any) -> int:
        """The first number in the module's name, as a capture numbers layers; TraceError where two share it."""
        name = self._names[id(module)]
        found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)
        number = int(found[1]) if found else 0
        if self.layers.setdefault(number, name) != name:
            raise TraceError(
                f"{name} and {self.layers[number]} are both layer {number}: only plain encoders and "
                "decoders can be evaluated"
            )
        return number

    def _kept(
        self, number: int, q: Any, k: Any, v: Any, x: Any, attention_mask: Any, scale: float, *, causal: bool
    ) -> Any:
        """The keep masks bool [1, H, L_q, L_k] of one layer."""
        assert self.masks is not None
        layer = layer_of(number, (q, k, v, x), attention_mask, scale, self.fits[number], causal=causal)
        keep = np.zeros((1, q.shape[1], layer.L_q, layer.L_k), dtype=np.bool_)
        for head, mask in enumerate(self.masks(layer)):
            keep[0, head] = mask.to_dense()
        self.kept += int(np.count_nonzero(keep))
        self.allowed += layer.num_heads * int(layer.allowed_counts.sum())
        return torch.from_numpy(keep)


def layer_of(
    number: int,
    tensors: tuple[Any, Any, Any, Any],
    attention_mask: Any,
    scale: float,
    fitted: FittedPredictor | None,
    *,
    causal: bool,
) -> LayerTrace:
    """The layer that a capture would store of one attention: q, k, v [1, H, L, d] and its input [1, L, D]."""
    if tensors[-1] is None or tensors[-1].shape[1] != tensors[0].shape[2]:
        raise TraceError(f"layer {number}: its module was given no input with a row for each query")
    q, k, v, x = (tensor[0].float().numpy() for tensor in tensors)
    given = None if attention_mask is None else attention_mask[0].numpy()
    where = positions(given, q.shape[1], k.shape[1], causal=causal)
    layer = LayerArrays(
        number=number,
        q=q,
        k=k,
        v=v,
        x_q=x,
        causal=where.causal,
        scale=scale,
        allowed=where.allowed,
        bias=where.bias,
        predictors=() if fitted is None else (_as_long_as(fitted, q.shape[1]),),
    )
    return trace_in_memory("evaluated", [layer], kind="real").layer(number)


def _as_long_as(fitted: FittedPredictor, length: int) -> FittedPredictor:
    """The predictor for the first `length` positions; TraceError where it was fitted to fewer."""
    if len(fitted.extra_q) != len(fitted.extra_k):
        raise TraceError("the trace holds some query rows only: its predictors do not know the positions of the others")
    if length > len(fitted.extra_k):
        raise TraceError(f"--tokens {length}: the predictors of the trace know {len(fitted.extra_k)} positions")
    return replace(fitted, extra_q=fitted.extra_q[:length], extra_k=fitted.extra_k[:length])


@contextmanager
def masked_attention(model: Any, fits: Fits) -> Iterator[MaskedAttention]:
    """The model with our attention in place of its own; TraceError where two of its layers share a number."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    attention = MaskedAttention(fits)
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    before = model.config._attn_implementation  # noqa: SLF001 - what set_attn_implementation sets has no public reader
    model.set_attn_implementation(NAME)
    handles = attention.attach(model)
    try:
        yield attention
    finally:
        for handle in handles:
            handle.remove()
        model.set_attn_implementation(before)
