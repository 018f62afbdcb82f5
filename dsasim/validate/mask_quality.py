"""How good are the masks? Against the exact top-k, with the exact top-k itself and random masks as bounds.

The exact top-k (oracle) keeps, of each row's exact scores, as many as the design's density asks for; where a mask is
not made by a density (threshold, given), the share that the head's mask keeps of all allowed positions. The random mask
keeps as many keys in each row as ours. Everything in float64 from the stored operands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.masks import KeepMask
from dsasim.prediction import method_of
from dsasim.quality.measure import QualityMeter
from dsasim.quality.references import random_mask
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import RowBlock
from dsasim.validate.check import Cell, Check, CheckTable, skipped
from dsasim.validate.reference import exact_scores, exact_weights
from dsasim.validate.subject import Subject, cell_of

NAME, TITLE = "mask_quality", "mask quality, beside its bounds"
AGREE, AGREE_TITLE = "quality_figures", "mass and error that dsasim run prints"
AGREE_GATE = 1e-5
"""Largest difference of dsasim's figures (float32 weights) from these."""

MASKS = ("ours", "oracle", "random")
COLUMNS = ("recall", "precision", "IoU", "mass", "mass p1", "mass min", "error", "cosine", "balance")
"""Means over rows of recall, precision, IoU and captured softmax mass; the mass of the worst hundredth of rows and of
the worst; rel. L2 and cosine of the output against dense attention; `row_balance`."""

ROW_FIGURES = 7
"""Figures of a row: recall, precision, IoU, mass, and the squares and products of outputs: d.d, ref.ref, out.ref."""

Float64 = NDArray[np.float64]


@dataclass
class _Figures:
    """Figures of masks of one kind, of all rows with an allowed key of some heads."""

    rows: list[Float64] = field(default_factory=list)
    kept: list[NDArray[np.int64]] = field(default_factory=list)
    squares_out: float = 0.0

    def summary(self, group_rows: int) -> tuple[float, ...]:
        """The values of COLUMNS; the row balance over groups of `group_rows` rows of a head."""
        rows = np.concatenate(self.rows)
        recall, precision, iou, mass = rows[:, :4].mean(axis=0)
        error, reference, along = rows[:, 4:7].sum(axis=0)
        lengths = np.sqrt(self.squares_out * reference)
        return (
            float(recall),
            float(precision),
            float(iou),
            float(mass),
            float(np.percentile(rows[:, 3], 1)),
            float(rows[:, 3].min()),
            float(np.sqrt(error / reference)) if reference else 0.0,
            float(along / lengths) if lengths else 0.0,
            row_balance(self.kept, group_rows),
        )


def row_balance(kept: list[NDArray[np.int64]], group_rows: int) -> float:
    """Kept keys over the slots of rows that step together: 1 when all rows of every group keep equally many.

    Worked example: rows that keep 1 3 | 2 2 keys, two a group: 8 / (2 x 3 + 2 x 2) = 0.8.
    """
    total = slots = 0
    for counts in kept:
        for first in range(0, len(counts), group_rows):
            group = counts[first : first + group_rows]
            total += int(group.sum())
            slots += len(group) * int(group.max())
    return total / slots if slots else 1.0


def check_mask_quality(subject: Subject) -> list[Check]:
    """Recall, precision, IoU and captured mass of every row; two of them against what `dsasim run` prints."""
    per_head: dict[tuple[int | str, int], Mapping[str, _Figures]] = {}
    meter = QualityMeter()
    for layer, head in subject.heads():
        if not layer.has_qkv or not layer.allowed_counts.any():
            continue
        keep = subject.keep(layer, head)
        per_head[cell_of(layer), head] = _head_figures(subject, layer, head, keep)
        meter.add(layer, head, keep)
    if not per_head:
        reason = "the trace holds masks only: exact attention is not known"
        return [skipped(NAME, TITLE, reason), skipped(AGREE, AGREE_TITLE, reason)]
    group_rows = subject.arch.scheduler.token_parallelism
    overall = {kind: _joined([figures[kind] for figures in per_head.values()]).summary(group_rows) for kind in MASKS}
    tables = (
        CheckTable("masks, all rows of all heads", ("mask", *COLUMNS), tuple((kind, *overall[kind]) for kind in MASKS)),
        CheckTable("our masks, each layer", ("layer", *COLUMNS), tuple(_layer_rows(per_head, group_rows))),
        CheckTable(
            "our masks, each head",
            ("layer", "head", *COLUMNS),
            tuple((*key, *figures["ours"].summary(group_rows)) for key, figures in per_head.items()),
            detail=True,
        ),
    )
    figures = {
        f"{kind}_{_key(name)}": value for kind in MASKS for name, value in zip(COLUMNS, overall[kind], strict=True)
    }
    return [Check(NAME, TITLE, "measured", figures=figures, tables=tables), _agreement(meter, overall["ours"])]


def _agreement(meter: QualityMeter, ours: tuple[float, ...]) -> Check:
    """Dsasim's own captured mass and output error beside those measured here."""
    printed = meter.result().ours
    pairs = {
        "captured mass": (printed.captured_mass_ratio, ours[COLUMNS.index("mass")]),
        "output error": (printed.output_rel_l2, ours[COLUMNS.index("error")]),
    }
    off = max(abs(theirs - here) for theirs, here in pairs.values())
    words = "; ".join(f"{name} {theirs:.7f}, PyTorch has {here:.7f}" for name, (theirs, here) in pairs.items())
    status = "passed" if off <= AGREE_GATE else "failed"
    return Check(AGREE, AGREE_TITLE, "passed" if status == "passed" else "failed", words, AGREE_GATE, {"max_abs": off})


def _layer_rows(
    per_head: Mapping[tuple[int | str, int], Mapping[str, _Figures]], group_rows: int
) -> Iterator[tuple[Cell, ...]]:
    for number in dict.fromkeys(layer for layer, _ in per_head):
        of_layer = [figures["ours"] for (layer, _), figures in per_head.items() if layer == number]
        yield number, *_joined(of_layer).summary(group_rows)


def _joined(parts: list[_Figures]) -> _Figures:
    rows = [array for part in parts for array in part.rows]
    kept = [array for part in parts for array in part.kept]
    return _Figures(rows, kept, sum(part.squares_out for part in parts))


def _key(column: str) -> str:
    return column.lower().replace(" ", "_")


def _head_figures(subject: Subject, layer: LayerTrace, head: int, keep: KeepMask) -> Mapping[str, _Figures]:
    """The figures of one head's rows under each of MASKS."""
    of = {kind: _Figures() for kind in MASKS}
    counts = _oracle_counts(subject, layer, keep)
    values = torch.from_numpy(layer.v(layer.kv_head(head))).double()
    kept = dict[str, list[NDArray[np.int64]]]({kind: [] for kind in MASKS})
    for block in layer.row_blocks():
        allowed = torch.from_numpy(layer.allowed(block.first, block.num_rows))
        scores = exact_scores(layer, head, block.rows)
        weights = exact_weights(scores, allowed)
        dense = weights @ values
        masks = _masks(layer, head, block, keep, scores, allowed, counts[block.rows])
        for kind, mask in masks.items():
            output = exact_weights(scores, mask) @ values
            rows = _row_figures(mask, masks["oracle"], weights, output, dense)
            of[kind].rows.append(rows[allowed.any(1)].numpy())
            of[kind].squares_out += float(output.square().sum())
            kept[kind].append(mask.sum(1).numpy())
    for kind in MASKS:
        of[kind].kept.append(np.concatenate(kept[kind]))
    return of


def _oracle_counts(subject: Subject, layer: LayerTrace, keep: KeepMask) -> list[int]:
    """Keys of each row that the exact top-k keeps: max(1, ceil(share x allowed)), none where none is allowed."""
    generator, allowed = subject.arch.mask_generator, layer.allowed_counts
    top_k = method_of(subject.arch).scored
    if top_k and generator is not None and generator.selection == "top_k" and generator.density is not None:
        share = Fraction(generator.density)
    else:
        share = Fraction(keep.nnz, int(allowed.sum()))
    return [max(1, -(-share.numerator * int(n) // share.denominator)) if n else 0 for n in allowed]


def _masks(
    layer: LayerTrace, head: int, block: RowBlock, keep: KeepMask, scores: Any, allowed: Any, counts: list[int]
) -> Mapping[str, Any]:
    """Our, the exact and a random mask of a block of rows, bool [rows, L_k]."""
    ours = keep.block(block.first, block.num_rows)
    by_chance = random_mask(allowed.numpy(), ours.row_counts, (layer.number, head), block.first)
    most = max(counts)
    best = torch.topk(scores.masked_fill(~allowed, -torch.inf), most, dim=1).indices
    wanted = torch.arange(most) < torch.tensor(counts)[:, None]
    oracle = torch.zeros_like(allowed).scatter(1, best, wanted)
    return {
        "ours": torch.from_numpy(ours.to_dense()),
        "oracle": oracle,
        "random": torch.from_numpy(by_chance.to_dense()),
    }


def _row_figures(mask: Any, oracle: Any, weights: Any, output: Any, dense: Any) -> Any:
    """Float64 [rows, ROW_FIGURES]."""
    both, either = (mask & oracle).sum(1), (mask | oracle).sum(1)
    return torch.stack(
        [
            both / oracle.sum(1).clamp_min(1),
            both / mask.sum(1).clamp_min(1),
            both / either.clamp_min(1),
            (weights * mask).sum(1),
            (output - dense).square().sum(1),
            dense.square().sum(1),
            (output * dense).sum(1),
        ],
        dim=1,
    ).double()
