"""No prediction: every allowed position is kept."""

from dsasim.predictors.base import KeepMask, Selection
from dsasim.trace.attention import LayerTrace


class Dense:
    """Keeps every allowed position, free of charge; the same mask for all heads."""

    work = None

    def __init__(self, layer: LayerTrace) -> None:
        self._selection = Selection.free(KeepMask.from_dense(layer.allowed()))

    def select(self, _head: int, /) -> Selection:
        """All allowed positions."""
        return self._selection
