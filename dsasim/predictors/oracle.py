"""Masks from the exact scores, free of charge: the upper bound of what any prediction can reach."""

from dsasim.config.schema import ArchConfig
from dsasim.predictors.base import Selection
from dsasim.predictors.exact import exact_scores
from dsasim.predictors.selection import generator_of, select_above, select_top_k
from dsasim.trace.attention import LayerTrace


class OracleTopK:
    """Keeps the highest exact scores of each row, as many as `mask_generator.density` says."""

    work = None

    def __init__(self, arch: ArchConfig, layer: LayerTrace) -> None:
        self._generator = generator_of(arch)
        self._layer = layer
        self._allowed = layer.allowed()

    def select(self, head: int, /) -> Selection:
        """The exact top-k mask of a query head."""
        return Selection.free(select_top_k(exact_scores(self._layer, head), self._allowed, self._generator).keep)


class OracleThreshold:
    """Keeps the exact scores (scaled, with the model's bias) above `mask_generator.threshold`."""

    work = None

    def __init__(self, arch: ArchConfig, layer: LayerTrace) -> None:
        self._generator = generator_of(arch)
        self._layer = layer
        self._allowed = layer.allowed()

    def select(self, head: int, /) -> Selection:
        """The exact threshold mask of a query head."""
        return Selection.free(select_above(exact_scores(self._layer, head), self._allowed, 1.0, self._generator).keep)
