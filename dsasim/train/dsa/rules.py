"""Which positions an attention keeps in the forward pass: DSA's own rules, and the ones it is compared with.

A rule gets the scores of a layer and gives `keep`, bool, broadcast to [B, H, L_q, L_k]; None keeps every allowed one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import torch

from dsasim.config.share import parse_share
from dsasim.trace.counts import kept_counts


@dataclass(frozen=True)
class LayerScores:
    """Scores [B, H, L_q, L_k] of one layer; `allowed` bool, broadcast to them.

    `predicted`: integers of the prediction path, `factor` [H, 1, 1] (float64) makes them comparable with `exact`, the
    model's own scaled scores, up to a constant a row.
    """

    predicted: Any
    factor: Any
    exact: Any
    allowed: Any


Rule = Callable[[LayerScores], Any]


@dataclass(frozen=True)
class TopK:
    """The highest predicted scores of each row, max(1, ceil(density x allowed)) of them, ties to the lowest key."""

    density: str | Decimal

    def __post_init__(self) -> None:
        """ConfigError: a density that is no share."""
        parse_share(self.density, "density")

    def __call__(self, scores: LayerScores) -> Any:
        """Keep by predicted scores."""
        return highest(scores.predicted, scores.allowed, Decimal(self.density))


@dataclass(frozen=True)
class Threshold:
    """Predicted scores x scale above `threshold` (the mask generator's); a row may keep none, its output is zero."""

    threshold: float

    def __call__(self, scores: LayerScores) -> Any:
        """Keep by predicted scores."""
        return (scores.predicted.double() * scores.factor > self.threshold) & scores.allowed


@dataclass(frozen=True)
class OracleTopK:
    """The highest exact scores of each row: what a perfect predictor would keep."""

    density: str | Decimal

    def __post_init__(self) -> None:
        """ConfigError: a density that is no share."""
        parse_share(self.density, "density")

    def __call__(self, scores: LayerScores) -> Any:
        """Keep by exact scores."""
        return highest(_ranks(scores.exact), scores.allowed, Decimal(self.density))


@dataclass(frozen=True)
class Fixed:
    """A static pattern: `keep` is bool [L_q, L_k] or [H, L_q, L_k], the same for every input."""

    keep: Any

    def __call__(self, scores: LayerScores) -> Any:
        """Keep the pattern's allowed positions."""
        return self.keep & scores.allowed


@torch.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
def highest(scores: Any, allowed: Any, density: Decimal) -> Any:
    """The highest allowed scores (integers) of each row at a density, ties to the lowest key."""
    L_k = scores.shape[-1]
    exact = torch.float32 if (float(scores.abs().max()) + 1) * L_k < 2**24 else torch.float64
    unique = torch.where(allowed, (scores.to(exact) * L_k).sub_(torch.arange(L_k)), -torch.inf)
    counts = kept_counts(allowed.sum(dim=-1).flatten().numpy(), density).reshape(allowed.shape[:-1])
    ordered = np.sort(unique.numpy(), axis=-1)  # ten times as fast on a CPU as topk
    last = np.broadcast_to((L_k - np.maximum(counts, 1))[..., None], (*ordered.shape[:-1], 1))
    return (unique >= torch.from_numpy(np.take_along_axis(ordered, last, axis=-1))).logical_and_(allowed)


def _ranks(scores: Any) -> Any:
    """Order of real scores in each row as integers; equal scores in key order, the lowest key highest."""
    order = scores.flip(-1).sort(dim=-1, stable=True).indices
    ranks = torch.empty_like(order).scatter_(-1, order, torch.arange(scores.shape[-1]).expand_as(order))
    return ranks.flip(-1)
