"""Attention of a PyTorch model, captured while it runs (extra `torch`; the only part of a trace that needs PyTorch).

with capture(model) as trace:
    model(x)
trace.save("mine.safetensors")
"""

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dsasim.errors import TraceError

if TYPE_CHECKING:
    from dsasim.trace.capture.session import Capture
    from dsasim.trace.store import Dtype

TESTED_TORCH = "2.13.0"


def capture(
    model: Any,
    *,
    layers: Collection[int] | None = None,
    heads: Collection[int] | None = None,
    rows: Collection[int] | None = None,
    sample: int | Literal["all"] = 0,
    step: int = 0,
    dtype: "Dtype" = "float16",
    num_outputs: int = 16,
    scratch: Path | None = None,
) -> "Capture":
    """Capture the attention of an `nn.Module` run inside the `with` block; all layers, heads and query rows by default.

    `sample` is the element of the batch kept, or "all", each as a sequence of the trace; `step` the forward pass kept,
    0 the first (with a KV cache the first is the prefill, each later one a decode step); `dtype` what the trace stores;
    `num_outputs` the rows a head whose attention output is kept. Layers go to files in `scratch` (the system's
    temporary folder by default) one by one.

    Attention here is softmax over scores of pairs of rows, times values: scaled_dot_product_attention and the kernels
    under it, FlexAttention, nn.MultiheadAttention and nn.Transformer, products and einsums written out. What of it runs
    and is not in the trace is in `not_captured`, a warning and the trace's provenance, by module and reason: a softmax
    whose scores or probabilities cannot be followed, an attention operator or softmax that reaches a kernel from code
    that shows no functions (TorchScript, custom operators, vmap, another thread), scores that are more than
    scale * q k^T + bias. Two products of activations without a softmax between them are named too: linear attention is
    no softmax attention, and no trace can hold it. Mixing without a softmax or chained products (state spaces,
    convolutions, q times a running sum of k v^T) and extensions that call no operator of PyTorch leave nothing to see:
    they are named when the module's class is called attention or attn, and only then.

    TraceError names the pip command when PyTorch is missing, says what is wrong with an argument, and when nothing was
    captured, why.
    """
    needs_torch()
    from dsasim.trace.capture.selection import CaptureSelection
    from dsasim.trace.capture.session import Capture

    return Capture(model, CaptureSelection.of(layers, heads, rows, sample, step), dtype, num_outputs, scratch)


def needs_torch(purpose: str = "capturing a model") -> None:
    """TraceError with the pip command when PyTorch is not installed."""
    command = f"pip install 'dsasim[torch]', or pip install torch=={TESTED_TORCH} (the version it is tested with)"
    needs("torch", command, purpose)


def needs(package: str, command: str, purpose: str = "capturing a model") -> Any:
    """The imported package; TraceError with the command that installs it when it is missing."""
    try:
        return import_module(package)
    except ImportError as error:
        if error.name != package:
            raise
        raise TraceError(f"{purpose} needs {package}, which is not installed: {command}") from error
