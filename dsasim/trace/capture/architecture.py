"""What a model says of itself: its name, its rotation, and how to make it run in a form that can be seen."""

import importlib.metadata
from contextlib import ExitStack
from typing import Any

import torch

from dsasim.inputs.printable import printable

READABLE = ("eager", "sdpa")
"""Attention implementations of transformers that call PyTorch's own functions."""


def force_readable(model: Any, undo: ExitStack) -> list[str]:
    """Make compiled functions and fused attention run plainly until `undo`; says what was changed or cannot be."""
    undo.enter_context(torch.compiler.set_stance("force_eager"))
    notes = []
    config = getattr(model, "config", None)
    chosen = getattr(config, "_attn_implementation", None)
    if isinstance(chosen, str) and chosen not in READABLE and hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("sdpa")
        undo.callback(model.set_attn_implementation, chosen)
        notes.append(f"the model's attention implementation {chosen} ran as sdpa while it was captured")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            notes.append(f"{name} is TorchScript: attention inside it is not captured")
            break
    return notes


def model_name(model: Any) -> str:
    """The class of the model, and the type of its configuration where it has one."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    name = type(model).__name__
    return f"{name} ({printable(kind)})" if isinstance(kind, str) and kind else name


def versions() -> dict[str, str]:
    """Versions of the packages that computed the trace."""
    found = {}
    for package in ("torch", "transformers"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def rotary_base(model: Any) -> float | None:
    """Theta of a model that rotates Q and K, by transformers' configuration; None: none, or one a kind of layer.

    Version 5 keeps it in `rope_parameters` (a dictionary, for some models one for each kind of layer), version 4 in
    `rope_theta`.
    """
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    parameters = getattr(config, "rope_parameters", None)
    theta = parameters.get("rope_theta") if isinstance(parameters, dict) else getattr(config, "rope_theta", None)
    return float(theta) if isinstance(theta, int | float) else None
