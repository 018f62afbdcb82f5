"""Prediction of keep masks: one method a file, chosen by the name in `predictor.method`."""

from collections.abc import Callable, Mapping

from dsasim.config.schema import ArchConfig
from dsasim.predictors.base import KeepMask, LayerPredictor, PredictionWork, Selection
from dsasim.predictors.dense import Dense
from dsasim.predictors.dsa2021 import Dsa2021
from dsasim.predictors.given import Given
from dsasim.predictors.oracle import OracleThreshold, OracleTopK
from dsasim.trace.attention import LayerTrace

METHODS: Mapping[str, Callable[[ArchConfig, LayerTrace], LayerPredictor]] = {
    "dsa2021": Dsa2021,
    "oracle_topk": OracleTopK,
    "oracle_threshold": OracleThreshold,
    "dense": lambda _arch, layer: Dense(layer),
    "given": lambda _arch, layer: Given(layer),
}

__all__ = ["METHODS", "KeepMask", "LayerPredictor", "PredictionWork", "Selection", "load_predictor"]


def load_predictor(arch: ArchConfig, layer: LayerTrace) -> LayerPredictor:
    """The design's prediction method applied to a layer.

    ConfigError, TraceError: a design and a trace that do not fit each other (see the methods).
    """
    return METHODS[arch.predictor.method](arch, layer)
