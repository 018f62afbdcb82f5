"""From scores to a keep mask, by the design's mask generator (design.md §2.2)."""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig, MaskGeneratorConfig
from dsasim.errors import ConfigError
from dsasim.kernels.select import threshold_rows, top_k_rows
from dsasim.predictors.base import Bool, Int64, KeepMask, Selection

Scores = NDArray[np.int32] | NDArray[np.float32]


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


def kept_counts(allowed: Bool, density: Decimal) -> Int64:
    """Keys that each row keeps, int64 [L_q]: max(1, ceil(density x n)) of its n allowed keys [L_q, L_k], 0 of none."""
    by_allowed = [0] + [max(1, ceil_share(density, n)) for n in range(1, allowed.shape[1] + 1)]
    counts: Int64 = np.array(by_allowed, dtype=np.int64)[allowed.sum(axis=1)]
    return counts


def select_top_k(scores: Scores, allowed: Bool, generator: MaskGeneratorConfig) -> Selection:
    """The highest allowed scores of each row at `mask_generator.density`; ConfigError where the design names none."""
    if generator.density is None:
        raise ConfigError("mask_generator.density: needed to keep the highest scores of each row; got none")
    counts = kept_counts(allowed, generator.density)
    indptr, indices, cycles, comparisons = top_k_rows(scores, allowed, counts, generator.comparators)
    return Selection(KeepMask(indptr, indices, scores.shape[1]), cycles, int(comparisons))


def select_above(scores: Scores, allowed: Bool, factor: float, generator: MaskGeneratorConfig) -> Selection:
    """The allowed scores with score x factor > `mask_generator.threshold`; ConfigError where the design names none."""
    if generator.threshold is None:
        raise ConfigError("mask_generator.threshold: needed to keep the scores above it; got none")
    indptr, indices, cycles, comparisons = threshold_rows(
        scores, allowed, generator.threshold, factor, generator.comparators
    )
    return Selection(KeepMask(indptr, indices, scores.shape[1]), cycles, int(comparisons))
