"""What an evaluation found: one figure of the model's task for each predictor and density, and the design's cycles."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from dsasim import registry

UNPREDICTED = ("oracle_topk", "random", "sink_window")
"""What predicted masks are compared with: the best of the same size, and two that look at no score."""


def methods() -> tuple[str, ...]:
    """What can be evaluated: methods that pay for their prediction, then what they are compared with."""
    predicting = (name for name in registry.names("methods") if registry.find("methods", name).kinds)
    return (*predicting, *UNPREDICTED)


TASKS: Mapping[str, str] = {
    "perplexity": "exp of the mean negative log-likelihood of the next token; lower is better",
    "cosine": "of mean-pooled embeddings to those of the dense model, mean over windows; 1 is the same",
}


@dataclass(frozen=True)
class EvaluationPoint:
    """The model under one kind of mask; `figures` are by name, the task's first. cycles: None where nobody asked.

    density_ratio: kept / allowed over all masked layers, which rounding up makes a little more than the one asked for.
    """

    method: str
    density: Decimal
    density_ratio: float
    figures: Mapping[str, float]
    cycles: int | None = None
    speedup_vs_dense: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """All points of one model, the dense one first; `about` says what was run."""

    model: str
    task: str
    trace: str
    arch: str
    layers: tuple[int, ...]
    num_layers: int
    windows: int
    tokens: int
    text: str
    points: tuple[EvaluationPoint, ...]
    notes: tuple[str, ...] = field(default=())
