"""What a layer asks for: allowed and kept keys of each row, and what the mask generator took for it."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from dsasim.predictors.dsa2021 import Dsa2021
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import RowBlock
from dsasim.trace.scores import exact_scorer
from twin.layout import Prediction
from twin.plan import Row
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


def kept_keys(arch: Any, layer: LayerTrace, heads: list[int]) -> dict[int, Kept]:
    """The masks of all heads by the design's method."""
    method, allowed = method_of(arch, layer), layer.allowed()
    whole = RowBlock(0, layer.L_q, layer.L_k)
    if method in ("given", "dense"):
        masks = {head: allowed if method == "dense" else given_mask(layer, head) for head in heads}
        return {head: Kept([np.flatnonzero(row).tolist() for row in mask], None) for head, mask in masks.items()}
    if method == "dsa2021":
        predictor = Dsa2021(arch, layer)
        if arch.mask_generator.selection == "threshold":
            return {head: _above_threshold(arch, allowed, predictor.select(head)) for head in heads}
        return {head: _selected(arch, allowed, predictor.scorer(head)(whole)) for head in heads}
    oracle = {head: _selected(arch, allowed, exact_scorer(layer, head)(whole)) for head in heads}
    return {head: Kept(kept.rows, None) for head, kept in oracle.items()}


def given_mask(layer: LayerTrace, head: int) -> Any:
    """The stored mask of a head, one bit a key."""
    bits = layer.given_bits(head)
    assert bits is not None
    return np.unpackbits(bits, axis=-1, count=layer.L_k)


def most_kept(arch: Any, layer: LayerTrace) -> int:
    """Keys that a row can keep: its share under top-k, else all it may attend to."""
    allowed = max(sum(row) for row in layer.allowed().tolist())
    generator = arch.mask_generator
    if method_of(arch, layer) in ("given", "dense") or generator.selection != "top_k":
        return allowed
    return wanted(Fraction(*generator.density.as_integer_ratio()), allowed)


def _selected(arch: Any, allowed: Any, scores: Any) -> Kept:
    """The highest scores of each row, as many as the density wants."""
    rows, cycles = [], []
    generator = arch.mask_generator
    density = Fraction(*generator.density.as_integer_ratio())
    passes = {"quick_select": quick_select_cycles, "bitonic": bitonic_cycles}[generator.top_k_unit]
    for may, row_scores in zip(allowed, scores, strict=True):
        scored = [(key, row_scores[key].item()) for key in np.flatnonzero(may).tolist()]
        count = wanted(density, len(scored))
        rows.append(top_k(scored, count))
        cycles.append(passes(scored, count, generator.comparators))
    return Kept(rows, cycles)


def _above_threshold(arch: Any, allowed: Any, selection: Any) -> Kept:
    """The predictor's own mask (its scales are tested with it); the comparisons are counted here."""
    comparators = arch.mask_generator.comparators
    cycles = [threshold_cycles([(key, 0.0) for key in np.flatnonzero(may)], comparators) for may in allowed]
    return Kept([np.flatnonzero(row).tolist() for row in selection.keep.to_dense()], cycles)


def row_spans(layer: LayerTrace) -> list[int]:
    """Keys from 0 that each row may attend to, up to its last allowed one."""
    return [max((key + 1 for key, may in enumerate(row) if may), default=0) for row in layer.allowed().tolist()]


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
