"""Seeing a model's tensor functions as they are called: scaled_dot_product_attention and multi-head attention."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.eager import Eager

SDPA_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
OnCall = Callable[[AttentionCall], None]


class AttentionMode(TorchFunctionMode):
    """Hands every attention that runs under it to `on_call`, once its output is known.

    PyTorch switches a mode off inside the function that it sees; F.multi_head_attention_forward is Python that calls
    scaled_dot_product_attention or bmm and softmax, so it is run with the mode on again.
    """

    def __init__(self, on_call: OnCall, on_lost: Callable[[str], None]) -> None:
        super().__init__()
        self._on_call = on_call
        self._eager = Eager(on_call, on_lost)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function, and look at it afterwards."""
        kwargs = kwargs or {}
        if func is functional.multi_head_attention_forward:
            with self, overrides_ignored():
                return func(*args, **kwargs)
        out = func(*args, **kwargs)
        if func is functional.scaled_dot_product_attention:
            self._on_call(sdpa_call(args, kwargs, out))
        elif isinstance(out, torch.Tensor):
            self._eager.follow(func, args, kwargs, out)
        return out


def sdpa_call(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> AttentionCall:
    """A call of torch.nn.functional.scaled_dot_product_attention; its default scale is 1 / sqrt(d_head)."""
    given = dict(zip(SDPA_ARGUMENTS, args, strict=False)) | kwargs
    q, k, v = given["query"], given["key"], given["value"]
    mask, scale = given.get("attn_mask"), given.get("scale")
    if mask is not None and hasattr(
        mask, "_materialize"
    ):  # torch.nn.attention.bias.CausalBias stands for a boolean mask
        mask = mask._materialize(q.device)  # noqa: SLF001
    return AttentionCall(
        q,
        k,
        v,
        out,
        scale=1 / math.sqrt(q.shape[-1]) if scale is None else float(scale),
        route="scaled_dot_product_attention",
        mask=mask,
        causal=bool(given.get("is_causal", False)),
        grouped=bool(given.get("enable_gqa", False)),
        dropout=float(given.get("dropout_p", 0.0)),
    )


@contextmanager
def overrides_ignored() -> Iterator[None]:
    """F.multi_head_attention_forward asks has_torch_function whether to hand itself to the mode again: not now."""
    module: Any = functional  # which does not export this name, so mypy does not see it
    asked = module.has_torch_function
    module.has_torch_function = lambda *_: False
    try:
        yield
    finally:
        module.has_torch_function = asked
