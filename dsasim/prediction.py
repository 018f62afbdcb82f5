"""Prediction of keep masks: the method that a design names (`dsasim.methods`) and its selector."""

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TypeVar

from dsasim import registry
from dsasim.config.schema import ArchConfig
from dsasim.masks import KeepMask, Selection
from dsasim.methods.base import NO_STATE, Method, State
from dsasim.methods.operation import Prediction
from dsasim.selectors.base import Selector, generator_of, select_rows, selector_of
from dsasim.trace.attention import LayerTrace
from dsasim.trace.cache import Arrays, Codec, whole

Value = TypeVar("Value")


def _packed(selection: Selection) -> Arrays:
    """The mask may be had a block at a time, but one that is cached is one block."""
    keep = selection.keep.block(0, len(selection.row_cycles))
    rows = dict(zip(Selection._fields[1:], selection[1:], strict=True))
    return {"indptr": keep.indptr, "indices": keep.indices, "num_keys": whole(keep.num_keys), **rows}


def _selection(arrays: Arrays) -> Selection:
    (num_keys,) = arrays["num_keys"].tolist()
    keep = KeepMask(arrays["indptr"], arrays["indices"], num_keys)
    return Selection(keep, *(arrays[name] for name in Selection._fields[1:]))


WORK = Codec[Prediction | None](lambda _: {})
SELECTION = Codec[Selection](_packed, _selection)


class LayerPredictor:
    """A method with its selector, applied to one layer.

    Where the layer has a memory, the masks of earlier designs that predict and select alike are taken from it, and the
    method is made only for what it lacks.
    """

    def __init__(self, arch: ArchConfig, layer: LayerTrace, state: State, chosen: type[Method]) -> None:
        self._arch, self._layer, self._state, self._chosen = arch, layer, state, chosen
        self._cache = layer.cache if chosen.cached else None
        self._key = None if self._cache is None else mask_key(arch, layer)
        if self._cache is None:  # a design and a layer that do not fit each other are refused at once
            _ = self._selector

    @cached_property
    def method(self) -> Method:
        """The method of the layer."""
        return self._chosen(self._arch, self._layer, self._state)

    @cached_property
    def work(self) -> Prediction | None:
        """What predicting the layer costs; None where prediction is free of charge."""
        return self._cached("work", lambda: self.method.prediction, WORK)

    def select(self, head: int, /) -> Selection:
        """The keep mask of a query head."""
        return self._cached(("select", head), lambda: self._select(head), SELECTION)

    def after(self) -> State:
        """What the layer leaves for those after it; asked when its heads have been selected."""
        return self.method.after()

    @cached_property
    def _selector(self) -> Selector | None:
        """Of a method that gives scores."""
        block, scored = (1, 1) if self.work is None else self.work.storage.score_block, self.method.scored
        return selector_of(generator_of(self._arch), block) if scored else None

    def _select(self, head: int) -> Selection:
        """What is free to predict is free to select."""
        method, selector = self.method, self._selector
        if selector is None:
            return Selection.free(method.mask(head))
        rule = selector.rule(self._layer, method.score_scale(head))
        selection = select_rows(self._layer, method.scorer(head), rule, selector.block_rows)
        return selection if method.kinds else Selection.free(selection.keep)

    def _cached(self, what: Hashable, compute: Callable[[], Value], form: Codec[Value]) -> Value:
        return compute() if self._cache is None else self._cache.get_or_compute((what, self._key), compute, form)


def method_of(arch: ArchConfig) -> type[Method]:
    """The class of the design's prediction method."""
    method: type[Method] = registry.find("methods", arch.predictor.method)
    return method


def load_predictor(arch: ArchConfig, layer: LayerTrace, state: State = NO_STATE) -> LayerPredictor:
    """The design's prediction method applied to a layer; a layer that holds masks only is `given`, or `dense` if asked.

    A dense machine is what such a layer is compared with, so it keeps every allowed position there too.
    ConfigError, TraceError: a design and a trace that do not fit each other (see the methods).
    """
    own = layer.has_qkv or arch.predictor.keeps_all
    return LayerPredictor(arch, layer, state, method_of(arch) if own else registry.find("methods", "given"))


def mask_key(arch: ArchConfig, layer: LayerTrace) -> Hashable:
    """All that the masks of a layer on its sequence, and the cycles and comparisons of their selection, depend on.

    The sizes of the predictor's array and the number of selectors say how long that takes, which is not held.
    """
    generator = arch.mask_generator
    predictor = arch.predictor.model_copy(update={"array_rows": None, "array_columns": None})
    selecting = None if generator is None else generator.model_copy(update={"num_selectors": 1}).model_dump_json()
    return layer.key, predictor.model_dump_json(), selecting
