"""Are the keep masks those that PyTorch selects from the same scores?

Of equal scores any may be kept, so what must agree is each row's kept scores, sorted: `torch.topk` breaks ties by no
rule, and differently on a GPU. Keys must be allowed, in range, ascending and so unlike each other.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.masks import KeepMask
from dsasim.prediction import method_of
from dsasim.trace.attention import LayerTrace
from dsasim.trace.packing import Bool
from dsasim.validate.check import Check, skipped
from dsasim.validate.emulation import HeadScores, emulated_layers
from dsasim.validate.reference import exact_scores
from dsasim.validate.subject import Subject

NAME = "keep_mask"
TITLES = {
    "top_k": "mask equals PyTorch's top-k",
    "threshold": "mask equals PyTorch's threshold",
    "given": "mask equals the trace's own bits",
    "dense": "mask keeps every allowed position",
}

ROUNDING = 2.0**-22
"""Of the largest score: how far exact scores in float32 (dsasim) and float64 (PyTorch) may disagree about a rank."""

Score = Callable[[slice], Any]
"""Scores of some rows [rows, L_k]."""


def check_keep_mask(subject: Subject) -> list[Check]:
    """Every row's mask; the first row that differs is named, with the key or the score."""
    emulated, rows, wrong, first = emulated_layers(subject), 0, 0, ""
    kinds = set[str]()
    for layer, head in subject.heads():
        kind = _kind(subject, layer)
        if kind is None:
            continue
        keep = subject.keep(layer, head)
        kinds.add(kind)
        complaints = _malformed(keep, layer)
        if not complaints:
            complaints = _differing(subject, layer, head, keep, kind, emulated(layer))
        rows += layer.L_q
        wrong += len(complaints)
        if complaints and not first:
            row, what = next(iter(complaints.items()))
            first = f"layer {layer.label} head {head} row {row}: {what}"
    if not kinds:
        method = subject.arch.predictor.method
        return [skipped(NAME, "mask equals PyTorch's", f"no rule in PyTorch for predictor.method {method}")]
    title = TITLES[kinds.pop()] if len(kinds) == 1 else "masks equal PyTorch's"
    figures = {"rows": rows, "different": wrong}
    if wrong:
        return [Check(NAME, title, "failed", f"{first}; {wrong:,} of {rows:,} rows differ", figures=figures)]
    return [Check(NAME, title, "passed", "every row", figures=figures)]


def _kind(subject: Subject, layer: LayerTrace) -> str | None:
    """How the layer's masks are made: a key of TITLES; None for a method that this check does not know."""
    method, generator = method_of(subject.arch), subject.arch.mask_generator
    if method.keeps_all:
        return "dense"
    if method.brings_own or not layer.has_qkv:
        return "given"
    rule = method.selection or (None if generator is None else generator.selection)
    return rule if (method.exact or method.fitted) and rule in TITLES else None


def _malformed(keep: KeepMask, layer: LayerTrace) -> dict[int, str]:
    """Rows whose keys are out of range, not ascending, or not allowed."""
    complaints = dict[int, str]()
    rows, keys = keep.rows, keep.indices
    falling = np.flatnonzero((np.diff(keys) <= 0) & (np.diff(rows) == 0))
    for at in falling:
        complaints.setdefault(int(rows[at]), f"key {keys[at + 1]} follows key {keys[at]}")
    outside = np.flatnonzero((keys < 0) | (keys >= layer.L_k))
    for at in outside:
        complaints.setdefault(int(rows[at]), f"key {keys[at]} is not one of {layer.L_k}")
    if complaints:
        return complaints
    for block in layer.row_blocks():
        dense = keep.block(block.first, block.num_rows).to_dense()
        for row, key in np.argwhere(dense & ~layer.allowed(block.first, block.num_rows)):
            complaints.setdefault(block.first + int(row), f"keeps key {key}, which may not be attended to")
    return complaints


def _differing(
    subject: Subject, layer: LayerTrace, head: int, keep: KeepMask, kind: str, emulation: HeadScores | None
) -> dict[int, str]:
    """Rows whose mask is not PyTorch's, and how."""
    if kind == "given":
        return _unlike(keep, _stored(layer, head), layer)
    if kind == "dense":
        return _unlike(keep, None, layer)
    generator = subject.arch.mask_generator
    assert generator is not None
    if emulation is not None:
        score, margin, factor = emulation.scorer(head), 0.0, emulation.factor(head)
    else:
        score, margin, factor = partial(exact_scores, layer, head), ROUNDING, 1.0
    if kind == "threshold":
        assert generator.threshold is not None
        threshold = generator.threshold
        return _across(keep, lambda rows: score(rows).double() * factor - threshold, margin, layer)
    assert generator.density is not None
    share = Fraction(generator.density)
    counts = [max(1, -(-share.numerator * int(n) // share.denominator)) if n else 0 for n in layer.allowed_counts]
    return _outranked(keep, score, counts, margin, layer)


def _outranked(keep: KeepMask, score: Score, counts: list[int], margin: float, layer: LayerTrace) -> dict[int, str]:
    """Rows that do not keep the `counts` highest allowed scores, sorted scores compared within a relative margin."""
    complaints = dict[int, str]()
    for block in layer.row_blocks():
        scores = score(block.rows).double()
        allowed = torch.from_numpy(layer.allowed(block.first, block.num_rows))
        of_block = scores.masked_fill(~allowed, -torch.inf)
        kept = torch.from_numpy(keep.block(block.first, block.num_rows).to_dense())
        most = max([*counts[block.rows], int(kept.sum(1).max())])
        best = torch.topk(of_block, most, dim=1).values
        ours = torch.topk(of_block.masked_fill(~kept, -torch.inf), most, dim=1).values
        wanted = torch.tensor(counts[block.rows])[:, None]
        best = best.masked_fill(torch.arange(most) >= wanted, -torch.inf)
        differs = ~((best == ours) | ((best - ours).abs() <= margin * float(scores.abs().max())))
        for row in torch.nonzero(differs.any(1)).flatten().tolist():
            complaints[block.first + row] = _rank_text(
                int(kept[row].sum()), counts[block.first + row], best[row], ours[row], differs[row]
            )
    return complaints


def _rank_text(kept: int, wanted: int, best: Any, ours: Any, differs: Any) -> str:
    if kept != wanted:
        return f"keeps {kept} keys, the density asks for {wanted}"
    rank = int(torch.nonzero(differs)[0])
    return f"its kept score number {rank + 1} is {float(ours[rank]):.9g}, PyTorch's is {float(best[rank]):.9g}"


def _across(keep: KeepMask, above: Score, margin: float, layer: LayerTrace) -> dict[int, str]:
    """Rows that keep a score not above the threshold, or drop one that is; `above` is score - threshold."""
    complaints = dict[int, str]()
    for block in layer.row_blocks():
        allowed = torch.from_numpy(layer.allowed(block.first, block.num_rows))
        kept = torch.from_numpy(keep.block(block.first, block.num_rows).to_dense())
        distance = above(block.rows)
        differs = (kept != (distance > 0)) & allowed
        if margin:
            differs &= distance.abs() > margin * float(distance.abs().max())
        for row, key in torch.nonzero(differs).tolist():
            verb = "keeps" if kept[row, key] else "drops"
            text = f"{verb} key {key}, whose score is {float(distance[row, key]):+.3g} from the threshold"
            complaints.setdefault(block.first + row, text)
    return complaints


def _unlike(keep: KeepMask, wanted: Bool | None, layer: LayerTrace) -> dict[int, str]:
    """Rows that keep other keys than `wanted` [L_q, L_k], or than the allowed ones if None."""
    complaints = dict[int, str]()
    for block in layer.row_blocks():
        kept = keep.block(block.first, block.num_rows).to_dense()
        expected = layer.allowed(block.first, block.num_rows) if wanted is None else wanted[block.rows]
        for row, key in np.argwhere(kept != expected):
            complaints.setdefault(block.first + int(row), f"{'keeps' if kept[row, key] else 'drops'} key {key}")
    return complaints


def _stored(layer: LayerTrace, head: int) -> Bool:
    """The trace's own mask [L_q, L_k], its bits taken apart by PyTorch."""
    packed = torch.from_numpy(np.array(layer.given_bits(head)))
    bits = (packed[:, :, None] >> torch.arange(7, -1, -1, dtype=torch.uint8)) & 1
    stored: NDArray[np.bool_] = bits.flatten(1)[:, : layer.L_k].bool().numpy()
    return stored
