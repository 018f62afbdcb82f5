"""Attention of a PyTorch model, captured while it runs (extra `torch`; the only part of a trace that needs PyTorch).

with capture(model) as trace:
    model(x)
trace.save("mine.safetensors")
"""

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    sample: int = 0,
    step: int = 0,
    dtype: "Dtype" = "float16",
    num_outputs: int = 16,
    scratch: Path | None = None,
) -> "Capture":
    """Capture the attention of an `nn.Module` run inside the `with` block; all layers, heads and query rows by default.

    `sample` is the element of the batch kept; `step` the forward pass kept, 0 the first (with a KV cache the first is
    the prefill, each later one a decode step); `dtype` what the trace stores; `num_outputs` the rows a head whose
    attention output is kept. Layers go to files in `scratch` (the system's temporary folder by default) one by one.
    TraceError names the pip command when PyTorch is missing, and says what is wrong with an argument.
    """
    needs_torch()
    from dsasim.trace.capture.selection import Selection
    from dsasim.trace.capture.session import Capture

    return Capture(model, Selection.of(layers, heads, rows, sample, step), dtype, num_outputs, scratch)


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
