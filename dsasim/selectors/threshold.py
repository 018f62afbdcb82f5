"""`threshold`: the allowed scores above `mask_generator.threshold`, in units of the model's scaled scores."""

import numpy as np

from dsasim.errors import ConfigError
from dsasim.kernels.select import threshold_rows
from dsasim.masks import KeepMask, Selection
from dsasim.methods.base import Scores
from dsasim.selectors.base import Rule, Selector, SelectorSilicon
from dsasim.silicon.operations import operation, register
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import RowBlock


class Threshold(Selector):
    """Keeps the scores above a value; a row may keep none."""

    summary = "all scores above `threshold`"

    def rule(self, layer: LayerTrace, score_scale: float) -> Rule:
        """ConfigError where the design names no threshold."""
        generator, threshold = self.generator, self.generator.threshold
        if threshold is None:
            raise ConfigError("mask_generator.threshold: needed to keep the scores above it; got none")

        def select(block: RowBlock, scores: Scores) -> Selection:
            allowed = layer.allowed(*block)
            indptr, indices, cycles, comparisons = threshold_rows(
                scores, allowed, threshold, score_scale, generator.comparators
            )
            nothing = np.zeros_like(cycles)
            return Selection(KeepMask(indptr, indices, block.num_keys), cycles, comparisons, nothing, nothing)

        return select

    def silicon(self, score_bits: int, technology_nm: int) -> SelectorSilicon:
        """A lane is one comparator, with a register for its score."""
        lane = operation("compare", score_bits, technology_nm) + register(score_bits, technology_nm)
        return SelectorSilicon(self.generator.comparators, lane, lane)


SELECTOR = Threshold
