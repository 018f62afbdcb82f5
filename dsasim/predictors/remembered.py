"""A predictor that recalls the masks of earlier designs which predict and select alike."""

from collections.abc import Callable, Hashable
from functools import cached_property

from dsasim.config.schema import ArchConfig
from dsasim.predictors.base import SELECTION_ROWS, KeepMask, LayerPredictor, Selection
from dsasim.predictors.operation import Prediction
from dsasim.predictors.state import State
from dsasim.trace.attention import LayerTrace
from dsasim.trace.cache import Arrays, Codec, MemoryCache, whole


def _packed_selection(selection: Selection) -> Arrays:
    """The mask may be had a block at a time, but one that is remembered is one block."""
    keep = selection.keep.block(0, len(selection.row_cycles))
    rows = {name: getattr(selection, name) for name in SELECTION_ROWS}
    return {"indptr": keep.indptr, "indices": keep.indices, "num_keys": whole(keep.num_keys), **rows}


def _selection(arrays: Arrays) -> Selection:
    (num_keys,) = arrays["num_keys"].tolist()
    keep = KeepMask(arrays["indptr"], arrays["indices"], num_keys)
    return Selection(keep, *(arrays[name] for name in SELECTION_ROWS))


WORK = Codec[Prediction | None](lambda _: {})
SELECTION = Codec[Selection](_packed_selection, _selection)


class Remembered:
    """The predictor that `make` makes, made only if something is asked that `memory` does not hold."""

    def __init__(self, make: Callable[[], LayerPredictor], memory: MemoryCache, key: Hashable) -> None:
        self._make = make
        self._memory = memory
        self._key = key

    @property
    def work(self) -> Prediction | None:
        """What predicting the layer costs; quick to say, but for reading what a fitted predictor holds."""
        return self._memory.get_or_compute(("work", self._key), lambda: self._predictor.work, WORK)

    def select(self, head: int, /) -> Selection:
        """The keep mask of a query head."""
        return self._memory.get_or_compute(("select", head, self._key), lambda: self._predictor.select(head), SELECTION)

    def after(self) -> State:
        """What the layer leaves for those after it."""
        return self._predictor.after()

    @cached_property
    def _predictor(self) -> LayerPredictor:
        return self._make()


def mask_key(arch: ArchConfig, layer: LayerTrace) -> Hashable:
    """All that the masks of a layer on its sequence, and the cycles and comparisons of their selection, depend on.

    The sizes of the predictor's array and the number of selectors say how long that takes, which is not held.
    """
    generator = arch.mask_generator
    predictor = arch.predictor.model_copy(update={"array_rows": None, "array_columns": None})
    selecting = None if generator is None else generator.model_copy(update={"num_selectors": 1}).model_dump_json()
    return layer.key, predictor.model_dump_json(), selecting
