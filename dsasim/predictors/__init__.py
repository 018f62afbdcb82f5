"""Prediction of keep masks: the method that a design names (`dsasim.methods`) and its selector."""

from functools import partial

from dsasim import registry
from dsasim.config.schema import ArchConfig
from dsasim.predictors.base import KeepMask, LayerPredictor, Selection
from dsasim.predictors.method import MethodType
from dsasim.predictors.operation import Prediction
from dsasim.predictors.predicted import Predicted
from dsasim.predictors.remembered import Remembered, mask_key
from dsasim.predictors.state import NO_STATE, State
from dsasim.trace.attention import LayerTrace

__all__ = ["NO_STATE", "KeepMask", "LayerPredictor", "Prediction", "Selection", "State", "load_predictor", "method_of"]


def method_of(arch: ArchConfig) -> MethodType:
    """The class of the design's prediction method."""
    method: MethodType = registry.find("methods", arch.predictor.method)
    return method


def load_predictor(arch: ArchConfig, layer: LayerTrace, state: State = NO_STATE) -> LayerPredictor:
    """The design's prediction method applied to a layer; a layer that holds masks only is `given`, or `dense` if asked.

    A dense machine is what such a layer is compared with, so it keeps every allowed position there too.
    ConfigError, TraceError: a design and a trace that do not fit each other (see the methods).
    """
    method = arch.predictor.method
    chosen: MethodType = registry.find("methods", method if layer.has_qkv or method == "dense" else "given")
    make = partial(_apply, chosen, arch, layer, state)
    if layer.cache is None or not chosen.remembers:
        return make()
    return Remembered(make, layer.cache, mask_key(arch, layer))


def _apply(method: MethodType, arch: ArchConfig, layer: LayerTrace, state: State) -> Predicted:
    return Predicted(method(arch, layer, state))
