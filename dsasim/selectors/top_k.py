"""`top_k`: the highest allowed scores of each row, a share `mask_generator.density` of them; ties to the lowest key.

Two units find the same keys: quick-select (`kernels.select`), and a bitonic sorter with a merger
(`selectors.merge_unit`).
"""

import numpy as np

from dsasim.errors import ConfigError
from dsasim.kernels.select import top_k_rows
from dsasim.masks import KeepMask, Selection
from dsasim.methods.base import Scores
from dsasim.selectors.base import Rule, Selector, SelectorSilicon
from dsasim.selectors.merge_unit import compare_exchanges, merge_work
from dsasim.silicon.operations import operation, register
from dsasim.trace.attention import LayerTrace
from dsasim.trace.counts import ceil_share, kept_counts
from dsasim.trace.positions import RowBlock

KEY_NUMBER_BITS = 16
"""A key's number beside its score in a sorter: sequences up to 65536 keys."""


class TopK(Selector):
    """Keeps the highest scores of each row."""

    summary = "the highest scores of each row, a share `density` of its allowed keys"

    def rule(self, layer: LayerTrace, score_scale: float) -> Rule:
        """ConfigError where the design names no density.

        Quick-select reads S~ in its first pass; what each pass leaves over is written once and read once, by the next.
        """
        del score_scale
        generator = self.generator
        if generator.density is None:
            raise ConfigError("mask_generator.density: needed to keep the highest scores of each row; got none")
        counts = kept_counts(layer.allowed_counts, generator.density)

        def select(block: RowBlock, scores: Scores) -> Selection:
            kept, allowed = counts[block.rows], layer.allowed_counts[block.rows]
            indptr, indices, cycles, comparisons = top_k_rows(
                scores, layer.allowed(*block), kept, generator.comparators
            )
            keep = KeepMask(indptr, indices, block.num_keys)
            if generator.top_k_unit == "bitonic":
                return Selection(keep, *merge_work(allowed, kept, generator.comparators))
            again = comparisons - np.where(kept > 0, allowed, 0)
            return Selection(keep, cycles, comparisons, entries_read=again, entries_written=again)

        return select

    def most_kept(self, allowed: int, num_keys: int) -> int:
        """Worked example: density 0.1 of 512 keys keeps at most 52."""
        del num_keys
        density = self.generator.density
        return allowed if density is None else max(1, ceil_share(density, allowed))

    def silicon(self, score_bits: int, technology_nm: int) -> SelectorSilicon:
        """Quick-select (three-way): a lane compares for greater and for equal, then one of two zero eliminators packs
        the value; the remainders live in the predictor's buffer. Bitonic: a lane is one compare-exchange of scores with
        their key numbers, with registers for both.
        """
        compare, operand = operation("compare", score_bits, technology_nm), register(score_bits, technology_nm)
        if self.generator.top_k_unit == "bitonic":
            entry = operand + register(KEY_NUMBER_BITS, technology_nm)
            exchange = compare + operation("compare", KEY_NUMBER_BITS, technology_nm) + entry * 2
            return SelectorSilicon(compare_exchanges(self.generator.comparators), exchange, exchange)
        eliminator = operation("zero_eliminator_lane", 12, technology_nm) * (score_bits / 12)
        plain = compare + operand
        return SelectorSilicon(
            self.generator.comparators, plain + compare + eliminator * 2, plain + compare + eliminator
        )


SELECTOR = TopK
