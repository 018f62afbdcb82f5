"""Do the predictor's stored weights still belong to their stored scales?

A scale of W~ is the one of least squared error of its column, found when the predictor was fitted; a weight that was
changed afterwards leaves a scale behind that is not. Measured on the shipped traces: the stored scales are within 6 %
of the least squared error that a finer search finds; a weight moved by 100 standard deviations of its column
multiplies it by 49 and more at every width, one moved by 10 is found in most columns (8 bits), one by 1 is not.
"""

from typing import Any

import torch

from dsasim.trace.attention import FittedPredictor, LayerTrace
from dsasim.validate.check import Check, skipped
from dsasim.validate.subject import Subject

NAME, TITLE = "predictor_weights", "predictor weights fit their scales"

MAX_ERROR_RATIO = 1.25
"""Squared error under the stored scale over the least one found: the gate."""

CANDIDATES = 128
"""Clipping points tried, evenly up to the column's largest magnitude."""


def check_predictor_weights(subject: Subject) -> list[Check]:
    """Every column of W~q and W~k at every stored width; the worst is named where it fails."""
    sigma = subject.arch.predictor.sigma
    worst, where, columns = 1.0, "", 0
    for layer in subject.layers:
        fitted = None if sigma is None or not layer.has_qkv else layer.predictor(sigma)
        if fitted is None:
            continue
        for side, heads in (("q", subject.selection[layer.number]), ("k", _kv_heads(subject, layer))):
            for head in heads:
                for bits in fitted.scales:
                    ratios = _error_ratios(fitted, side, head, bits)
                    columns += len(ratios)
                    column = int(torch.argmax(ratios))
                    if float(ratios[column]) > worst:
                        worst = float(ratios[column])
                        kind = "head" if side == "q" else "kv head"
                        where = f"layer {layer.label} {kind} {head} W~{side} column {column} at {bits} bits"
    if not columns:
        return [skipped(NAME, TITLE, "the design uses no fitted predictor of the trace")]
    figures = {"columns": columns, "largest_error_ratio": worst}
    if worst > MAX_ERROR_RATIO:
        detail = f"{where}: its scale leaves {worst:.3g} times the least squared error (gate {MAX_ERROR_RATIO:g})"
        return [Check(NAME, TITLE, "failed", detail, MAX_ERROR_RATIO, figures)]
    return [Check(NAME, TITLE, "passed", "squared error over the least possible", MAX_ERROR_RATIO, figures)]


def _kv_heads(subject: Subject, layer: LayerTrace) -> list[int]:
    return sorted({layer.kv_head(head) for head in subject.selection[layer.number]})


def _error_ratios(fitted: FittedPredictor, side: str, head: int, bits: int) -> Any:
    """Squared error of the codes of each column under its stored scale over the least found, float64 [r]."""
    weights = torch.tensor(fitted.w_q[head] if side == "q" else fitted.w_k[head], dtype=torch.float64)
    stored = torch.tensor(fitted.scales[bits][f"w_{side}"][head], dtype=torch.float64)
    top = 2 ** (bits - 1) - 1
    shares = torch.arange(1, CANDIDATES + 1, dtype=torch.float64)[:, None] / CANDIDATES
    tried = shares * weights.abs().amax(0) / top
    ours = _squared_error(weights, stored[None], top)[0]
    least = torch.minimum(_squared_error(weights, tried.clamp_min(1e-300), top).amin(0), ours)
    return torch.where(least > 0, ours / least, torch.where(ours > 0, torch.inf, 1.0))


def _squared_error(weights: Any, scales: Any, top: int) -> Any:
    """Sum over K of (code x scale - weight)^2, [candidates, r], of weights [K, r] and scales [candidates, r]."""
    codes = torch.round(weights[None] / scales[:, None]).clamp(-top, top)
    return (codes * scales[:, None] - weights[None]).square().sum(1)
