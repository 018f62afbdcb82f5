"""From scores to a keep mask, by the design's mask generator, a block of rows at a time."""

from collections.abc import Callable
from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig, MaskGeneratorConfig
from dsasim.errors import ConfigError
from dsasim.kernels.select import threshold_rows, top_k_rows
from dsasim.predictors.base import KeepMask, Selection
from dsasim.predictors.merge_unit import merge_work
from dsasim.trace.attention import LayerTrace
from dsasim.trace.counts import kept_counts
from dsasim.trace.positions import RowBlock

Scores = NDArray[np.int32] | NDArray[np.float32]
Rule = Callable[[RowBlock, Scores], Selection]
"""Selects from the scores [num_rows, num_keys] of a block."""


def generator_of(arch: ArchConfig) -> MaskGeneratorConfig:
    """The mask generator of a design; ConfigError where it has none."""
    if arch.mask_generator is None:
        raise ConfigError(f"mask_generator: needed by predictor.method={arch.predictor.method}; the design has none")
    return arch.mask_generator


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
