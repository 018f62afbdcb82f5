"""From scores to a keep mask, by the design's mask generator, a block of rows at a time."""

from collections.abc import Callable
from dataclasses import astuple
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig, MaskGeneratorConfig
from dsasim.errors import ConfigError
from dsasim.kernels.select import threshold_rows, top_k_rows
from dsasim.predictors.base import Int64, KeepMask, Selection
from dsasim.predictors.merge_unit import merge_work
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import RowBlock

Scores = NDArray[np.int32] | NDArray[np.float32]
Rule = Callable[[RowBlock, Scores], Selection]
"""Selects from the scores [num_rows, num_keys] of a block."""


def generator_of(arch: ArchConfig) -> MaskGeneratorConfig:
    """The mask generator of a design; ConfigError where it has none."""
    if arch.mask_generator is None:
        raise ConfigError(f"mask_generator: needed by predictor.method={arch.predictor.method}; the design has none")
    return arch.mask_generator


def ceil_share(share: Decimal, whole: int) -> int:
    """ceil(share x whole), exactly.

    Worked example: 0.1 of 20 is 2 and of 21 is 3; in floating point 0.07 of 100 would be 8.
    """
    numerator, denominator = share.as_integer_ratio()
    return -(-whole * numerator // denominator)


def kept_counts(allowed_counts: Int64, density: Decimal) -> Int64:
    """Keys that each row keeps: max(1, ceil(density x n)) of its n allowed keys, 0 of none; both int64 [rows]."""
    distinct, row_kinds = np.unique(allowed_counts, return_inverse=True)
    kept: Int64 = np.array([max(1, ceil_share(density, int(n))) if n else 0 for n in distinct], dtype=np.int64)
    return kept[row_kinds]


def top_k_rule(layer: LayerTrace, generator: MaskGeneratorConfig) -> Rule:
    """The highest allowed scores of each row at `mask_generator.density`; ConfigError where the design names none.

    Both top-k units keep the same keys. Quick-select reads S~ in its first pass; what each pass leaves over is written
    once and read once, by the next.
    """
    if generator.density is None:
        raise ConfigError("mask_generator.density: needed to keep the highest scores of each row; got none")
    counts = kept_counts(layer.allowed_counts, generator.density)

    def select(block: RowBlock, scores: Scores) -> Selection:
        kept, allowed = counts[block.rows], layer.allowed_counts[block.rows]
        indptr, indices, cycles, comparisons = top_k_rows(scores, layer.allowed(*block), kept, generator.comparators)
        keep = KeepMask(indptr, indices, block.num_keys)
        if generator.top_k_unit == "bitonic":
            return Selection(keep, *astuple(merge_work(allowed, kept, generator.comparators)))
        again = int(comparisons) - int(allowed[kept > 0].sum())
        return Selection(keep, cycles, int(comparisons), entries_read=again, entries_written=again)

    return select


def threshold_rule(layer: LayerTrace, generator: MaskGeneratorConfig, factor: float) -> Rule:
    """The allowed scores with score x factor > `mask_generator.threshold`; ConfigError where the design names none."""
    threshold = generator.threshold
    if threshold is None:
        raise ConfigError("mask_generator.threshold: needed to keep the scores above it; got none")

    def select(block: RowBlock, scores: Scores) -> Selection:
        allowed = layer.allowed(*block)
        indptr, indices, cycles, comparisons = threshold_rows(scores, allowed, threshold, factor, generator.comparators)
        return Selection(KeepMask(indptr, indices, block.num_keys), cycles, int(comparisons))

    return select


def select_rows(layer: LayerTrace, score: Callable[[RowBlock], Scores], rule: Rule) -> Selection:
    """Score and select a head a block of rows at a time: the mask does not depend on where blocks are cut."""
    return Selection.join([rule(block, score(block)) for block in layer.row_blocks()], layer.L_k)
