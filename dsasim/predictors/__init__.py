"""Prediction of keep masks: one method a file, chosen by the name in `predictor.method`."""

from collections.abc import Callable, Mapping
from functools import partial

from dsasim.config.schema import ArchConfig
from dsasim.predictors.base import KeepMask, LayerPredictor, PredictionWork, Selection
from dsasim.predictors.dense import Dense
from dsasim.predictors.dsa2021 import Dsa2021
from dsasim.predictors.given import Given
from dsasim.predictors.oracle import OracleThreshold, OracleTopK
from dsasim.predictors.remembered import Remembered, mask_key
from dsasim.trace.attention import LayerTrace

METHODS: Mapping[str, Callable[[ArchConfig, LayerTrace], LayerPredictor]] = {
    "dsa2021": Dsa2021,
    "oracle_topk": OracleTopK,
    "oracle_threshold": OracleThreshold,
    "dense": lambda _arch, layer: Dense(layer),
    "given": lambda _arch, layer: Given(layer),
}

REMEMBERED = (Dsa2021, OracleTopK, OracleThreshold)
"""Methods that compute their masks, where a layer has a memory; the others only read or imply them."""

__all__ = ["METHODS", "KeepMask", "LayerPredictor", "PredictionWork", "Selection", "load_predictor"]


def load_predictor(arch: ArchConfig, layer: LayerTrace) -> LayerPredictor:
    """The design's prediction method applied to a layer; a layer that holds masks only is `given`, or `dense` if asked.

    A dense machine is what such a layer is compared with, so it keeps every allowed position there too.
    ConfigError, TraceError: a design and a trace that do not fit each other (see the methods).
    """
    method = arch.predictor.method
    chosen = METHODS[method if layer.has_qkv or method == "dense" else "given"]
    if layer.memory is None or chosen not in REMEMBERED:
        return chosen(arch, layer)
    return Remembered(partial(chosen, arch, layer), layer.memory, mask_key(arch, layer.number))
