"""The feed-forward part beside an attention, found by the shapes of its weights: width, gate, experts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from dsasim.trace.capture.frames import ATTENTION_CLASS

WIDTHS = ("intermediate_size", "d_ff", "ffn_dim", "encoder_ffn_dim", "n_inner", "hidden_dim")
"""Names by which transformers' configurations call the width, for weights whose shapes do not show it (quantised)."""
EXPERTS_A_TOKEN = ("num_experts_per_tok", "moe_top_k", "top_k", "moe_k")


@dataclass(frozen=True)
class FeedForward:
    """d_ff and `gated`, None where they cannot be told; `note` says what d_ff is of a mixture of experts."""

    d_ff: int | None
    gated: bool | None
    note: str = ""


@dataclass(frozen=True)
class WeightGroup:
    """The weights of one kind in a block: `columns`, the axis of each matrix that is not d_model, counted.

    `experts`: how many of it there are, of which a token visits some; 0 for weights that every token meets.
    """

    columns: Counter[int]
    experts: int = 0

    def shape(self, said: int | None) -> tuple[int, bool] | None:
        """Width and gate: up and down are two matrices of one width, with a gate three, or one of twice the width.

        The width that the configuration said, if matrices have it; else the largest for which it holds.
        """
        found = sorted(self.columns, reverse=True)
        for width in [width for width in found if width == said] or found:
            if self.columns[width] == 1 and self.columns[2 * width] == 1:
                return width, True
            if self.columns[width] in (2, 3):
                return width, self.columns[width] == 3
        return None


def feed_forward(model: Any, attention: str, d_model: int) -> FeedForward:
    """The part beside the attention module of this name, in the innermost module around both that has one."""
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for block in _around(getattr(model, "_orig_mod", model), attention):  # what torch.compile wrapped
        found = _in_block(block, d_model, config)
        if found is not None:
            return found
    return FeedForward(_said_width(config), None)


def _said_width(config: Any) -> int | None:
    return next((value for name in WIDTHS if isinstance(value := getattr(config, name, None), int)), None)


def _around(model: Any, attention: str) -> Iterator[Any]:
    """The module right around an attention, then its layer and layers around that: those named by a number."""
    parts = attention.split(".")
    for end in range(len(parts) - 1, -1, -1):
        if end == len(parts) - 1 or (end and parts[end - 1].isdigit()):
            yield model.get_submodule(".".join(parts[:end]))


def _in_block(block: Any, d_model: int, config: Any) -> FeedForward | None:
    always, routed = _parts(block, d_model)
    said = _said_width(config)
    shapes = [shape for part in (always, routed) if (shape := part.shape(said)) is not None]
    if not shapes:
        return None
    gated = any(gate for _, gate in shapes)
    expert = routed.shape(said)
    if expert is None:
        return FeedForward(shapes[0][0], gated)
    visited = next((value for name in EXPERTS_A_TOKEN if isinstance(value := getattr(config, name, None), int)), None)
    if visited is None or visited > routed.experts:
        return FeedForward(None, gated, "a mixture of experts, of unknown number a token: there is no d_ff to store")
    shared = shapes[0][0] if len(shapes) > 1 else 0
    note = f"d_ff is {visited} of {routed.experts} experts of {expert[0]} that a token visits"
    return FeedForward(visited * expert[0] + shared, gated, f"{note}, and {shared} for all" if shared else note)


def _parts(block: Any, d_model: int) -> tuple[WeightGroup, WeightGroup]:
    """Weights that every token meets, and those of one expert of many."""
    always, routed = Counter[int](), Counter[int]()
    experts = set[str]()
    stacked = 0
    for path, weight in _weights(block):
        rows, columns = weight.shape[-2:]
        if d_model not in (rows, columns):
            continue
        other = int(rows if columns == d_model else columns)
        group, _, rest = path.partition(".experts.")
        if weight.ndim == 3:
            stacked = int(weight.shape[0])
            routed[other] += 1
        elif not rest:
            always[other] += 1
        else:
            experts.add(f"{group}.{rest.partition('.')[0]}")
            routed[other] += len(experts) == 1
    return WeightGroup(always), WeightGroup(routed, stacked or len(experts))


def _weights(block: Any) -> Iterator[tuple[str, Any]]:
    """Matrices and stacks of them in a block by path, without those of attention and embeddings."""
    inside = [("", block)]
    while inside:
        path, module = inside.pop(0)
        yield from (
            (f"{path}.{name}", weight.squeeze(-1) if isinstance(module, torch.nn.Conv1d) else weight)
            for name, weight in module.named_parameters(recurse=False)
            if weight.ndim in (2, 3) and "bias" not in name and getattr(module, "groups", 1) == 1
        )
        inside += [
            (f"{path}.{name}", child)
            for name, child in module.named_children()
            if not ATTENTION_CLASS.search(type(child).__name__) and not isinstance(child, torch.nn.Embedding)
        ]
