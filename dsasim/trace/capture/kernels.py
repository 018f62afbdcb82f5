"""Fused attention as one call: scaled_dot_product_attention, the kernels under it, FlexAttention; and their names."""

import math
import re
from typing import Any

import torch

from dsasim.trace.capture.call import AttentionCall

SDPA = "scaled_dot_product_attention"
FUSED = re.compile(rf"_?{SDPA}|_scaled_dot_product_\w*attention\w*(?<!backward)")
"""Functions and operators of PyTorch that are given query, key and value."""
FLEX = "flex_attention"
KERNEL = re.compile(r"attention|attn|mha|flash|transformer_encoder_layer|^_?(safe_|masked_)?softmax$", re.IGNORECASE)
"""Operators that compute attention, or a part of it that nothing else needs."""
NO_KERNEL = re.compile(r"backward|choice|softmax_data")
SDPA_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


def operator_name(func: Any) -> str:
    """The bare name of a function or operator: `softmax` of torch.Tensor.softmax and of aten::softmax.int."""
    schema = getattr(func, "_schema", None)
    name = schema.name if schema is not None else getattr(func, "__name__", "")
    return str(name).rpartition("::")[2]


def is_kernel(func: Any) -> bool:
    """Whether an operator may be attention, by its name."""
    name = operator_name(func)
    return bool(KERNEL.search(name)) and not NO_KERNEL.search(name)


def is_fused(name: str) -> bool:
    """Whether a function of this name is attention in one call that can be read."""
    return name == FLEX or bool(FUSED.fullmatch(name))


def fused_call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> AttentionCall:
    """A call that `is_fused`; `out` is what it returned, a tensor or a tuple that begins with it.

    Their default scale is 1 / sqrt(d_head).
    """
    result = out[0] if isinstance(out, tuple) else out
    if name == FLEX:
        return _flex_call(args, kwargs, result)
    given = dict(zip(_arguments(name), args, strict=False)) | kwargs
    q, k, v = given["query"], given["key"], given["value"]
    mask, scale = given.get("attn_mask", given.get("attn_bias")), given.get("scale")
    if mask is not None and hasattr(mask, "_materialize"):  # torch.nn.attention.bias.CausalBias: a boolean mask
        mask = mask._materialize(q.device)  # noqa: SLF001
    return AttentionCall(
        q,
        k,
        v,
        result,
        scale=1 / math.sqrt(q.shape[-1]) if scale is None else float(scale),
        route=name,
        mask=mask,
        causal=bool(given.get("is_causal", False)),
        grouped=bool(given.get("enable_gqa", False)),
        dropout=float(given.get("dropout_p", 0.0)),
    )


def _arguments(name: str) -> tuple[str, ...]:
    """Names of the arguments of a function or operator, in order."""
    if name == SDPA:
        return SDPA_ARGUMENTS
    return tuple(argument.name for argument in getattr(torch.ops.aten, name).default._schema.arguments)  # noqa: SLF001


def _flex_call(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> AttentionCall:
    """A call of torch.nn.attention.flex_attention: its functions of score and mask are evaluated at every position.

    They are PyTorch's to evaluate: its own reference of the operator gives the scores as they go into softmax.
    """
    from torch._higher_order_ops.flex_attention import _math_attention_inner

    names = ("query", "key", "value", "score_mod", "block_mask", "scale", "kernel_options")
    given = dict(zip((*names, "score_mod_other_buffers", "mask_mod_other_buffers"), args, strict=False)) | kwargs
    q, k, v = given["query"], given["key"], given["value"]
    grouped = q.shape[1] != k.shape[1]
    repeated = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    buffers = (given.get("score_mod_other_buffers", ()), given.get("mask_mod_other_buffers", ()))
    _, scores = _math_attention_inner(
        q, repeated, v, given["score_mod"], given["block_mask"], given["scale"], given["kernel_options"], *buffers
    )
    return AttentionCall(
        q, k, v, out, scale=float(given["scale"]), route=FLEX, scores=scores.to(q.dtype), grouped=grouped
    )
