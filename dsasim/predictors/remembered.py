"""A predictor that recalls the masks of earlier designs which predict and select alike."""

from collections.abc import Callable, Hashable
from functools import cached_property

from dsasim.config.schema import ArchConfig
from dsasim.predictors.base import KeepMask, LayerPredictor, PredictionWork, Selection
from dsasim.trace.memory import Memory

NUMBER_BYTES = 100
"""About what a few numbers and their key take."""


class Remembered:
    """The predictor that `make` makes, made only if something is asked that `memory` does not hold."""

    def __init__(self, make: Callable[[], LayerPredictor], memory: Memory, key: Hashable) -> None:
        self._make = make
        self._memory = memory
        self._key = key

    @property
    def work(self) -> PredictionWork | None:
        """What the predictor unit has to compute for the layer."""
        return self._memory.recall(("work", self._key), lambda: self._predictor.work, lambda _: NUMBER_BYTES)

    def select(self, head: int, /) -> Selection:
        """The keep mask of a query head."""
        return self._memory.recall(("select", head, self._key), lambda: self._predictor.select(head), _num_bytes)

    @cached_property
    def _predictor(self) -> LayerPredictor:
        return self._make()


def mask_key(arch: ArchConfig, number: int) -> Hashable:
    """All that the masks of layer `number`, and the cycles and comparisons of their selection, depend on.

    The sizes of the predictor's array and the number of selectors say how long that takes, which is not held.
    """
    generator = arch.mask_generator
    return (
        number,
        arch.predictor.model_copy(update={"array_rows": None, "array_columns": None}),
        None if generator is None else generator.model_copy(update={"num_selectors": 1}),
    )


def _num_bytes(selection: Selection) -> int:
    keep = selection.keep
    stored = keep.indptr.nbytes + keep.indices.nbytes if isinstance(keep, KeepMask) else 0
    return selection.row_cycles.nbytes + stored + NUMBER_BYTES
