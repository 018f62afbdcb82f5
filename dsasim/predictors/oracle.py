"""Masks from the exact scores, free of charge: the upper bound of what any prediction can reach."""

from dsasim.config.schema import ArchConfig
from dsasim.predictors.base import Selection
from dsasim.predictors.selection import generator_of, select_rows, threshold_rule, top_k_rule
from dsasim.trace.attention import LayerTrace
from dsasim.trace.scores import exact_scorer


class OracleTopK:
    """Keeps the highest exact scores of each row, as many as `mask_generator.density` says."""

    work = None

    def __init__(self, arch: ArchConfig, layer: LayerTrace) -> None:
        self._layer = layer
        self._rule = top_k_rule(layer, generator_of(arch))

    def select(self, head: int, /) -> Selection:
        """The exact top-k mask of a query head."""
        return Selection.free(select_rows(self._layer, exact_scorer(self._layer, head), self._rule).keep)


class OracleThreshold:
    """Keeps the exact scores (scaled, with the model's bias) above `mask_generator.threshold`."""

    work = None

    def __init__(self, arch: ArchConfig, layer: LayerTrace) -> None:
        self._layer = layer
        self._rule = threshold_rule(layer, generator_of(arch), 1.0)

    def select(self, head: int, /) -> Selection:
        """The exact threshold mask of a query head."""
        return Selection.free(select_rows(self._layer, exact_scorer(self._layer, head), self._rule).keep)
