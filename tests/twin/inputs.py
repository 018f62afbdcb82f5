"""What a layer asks for: allowed and kept keys of each row, and what the mask generator took for it."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from dsasim.trace.attention import LayerTrace
from twin.layout import Prediction
from twin.plan import Row
from twin.predict import Predicted, exact_scores
from twin.select import bitonic_cycles, quick_select_cycles, threshold_cycles, top_k, wanted


@dataclass(frozen=True)
class Kept:
    """One query head: the keys each row keeps, and the cycles a selector needs for it (none: free of charge)."""

    rows: list[Row]
    selector_cycles: list[int] | None


def method_of(arch: Any, layer: LayerTrace) -> str:
    """A layer of masks only is `given`, unless a dense machine is asked for."""
    method: str = arch.predictor.method
    return method if layer.has_qkv or method == "dense" else "given"


def allowed_keys(layer: LayerTrace) -> list[list[int]]:
    """Keys that each row may attend to: those that the trace allows, none of the future where it is causal."""
    stored = layer.positions.packed
    bits = [[1] * layer.L_k] * layer.L_q if stored is None else np.unpackbits(stored, axis=-1).tolist()
    last = [row + layer.L_k - layer.L_q if layer.causal else layer.L_k for row in range(layer.L_q)]
    return [[key for key in range(layer.L_k) if bits[row][key] and key <= last[row]] for row in range(layer.L_q)]


def kept_keys(arch: Any, layer: LayerTrace, heads: list[int]) -> dict[int, Kept]:
    """The masks of all heads by the design's method; those of an oracle and of the trace are free of charge."""
    method, allowed = method_of(arch, layer), allowed_keys(layer)
    if method == "dense":
        return {head: Kept(allowed, None) for head in heads}
    if method == "given":
        return {head: Kept(given_mask(layer, head), None) for head in heads}
    if method == "dsa2021":
        predicted = Predicted(arch, layer)
        return {head: _selected(arch, allowed, predicted.scores(head), predicted.unit(head)) for head in heads}
    oracle = {head: _selected(arch, allowed, exact_scores(layer, head), 1.0) for head in heads}
    return {head: Kept(kept.rows, None) for head, kept in oracle.items()}


def given_mask(layer: LayerTrace, head: int) -> list[Row]:
    """The stored mask of a head, one bit a key."""
    stored = layer.given_bits(head)
    assert stored is not None
    return [[key for key in range(layer.L_k) if row[key]] for row in np.unpackbits(stored, axis=-1).tolist()]


def most_kept(arch: Any, layer: LayerTrace) -> int:
    """Keys that a row can keep: its share under top-k, else all it may attend to."""
    allowed = max(len(row) for row in allowed_keys(layer))
    generator = arch.mask_generator
    if method_of(arch, layer) in ("given", "dense") or generator.selection != "top_k":
        return allowed
    return wanted(Fraction(*generator.density.as_integer_ratio()), allowed)


def _selected(arch: Any, allowed: list[Row], scores: list[list[Any]], unit: float) -> Kept:
    """The highest scores of each row, as many as the density wants; or all that stand for more than the threshold."""
    rows, cycles = [], []
    generator = arch.mask_generator
    passes = {"quick_select": quick_select_cycles, "bitonic": bitonic_cycles}[generator.top_k_unit]
    for may, row_scores in zip(allowed, scores, strict=True):
        scored = [(key, row_scores[key]) for key in may]
        if generator.selection == "threshold":
            rows.append([key for key, score in scored if score * unit > generator.threshold])
            cycles.append(threshold_cycles(scored, generator.comparators))
            continue
        count = wanted(Fraction(*generator.density.as_integer_ratio()), len(scored))
        rows.append(top_k(scored, count))
        cycles.append(passes(scored, count, generator.comparators))
    return Kept(rows, cycles)


def row_spans(layer: LayerTrace) -> list[int]:
    """Keys from 0 that each row may attend to, up to its last allowed one."""
    return [max(row, default=-1) + 1 for row in allowed_keys(layer)]


def prediction_of(arch: Any, layer: LayerTrace) -> Prediction | None:
    """The predictor unit's products; None where masks are free of charge."""
    if method_of(arch, layer) != "dsa2021":
        return None
    fitted = layer.predictor(arch.predictor.sigma)
    assert fitted is not None
    return Prediction(
        d_model=fitted.projection.shape[0],
        k=fitted.projection.shape[1],
        columns=fitted.w_q.shape[1],
        rank=arch.predictor.rank or fitted.w_q.shape[2],
        bits=arch.predictor.bits,
        input_rows=(layer.L_k,) if layer.self_attention else (layer.L_k, layer.L_q),
        sharing=layer.num_heads // layer.num_kv_heads,
    )
