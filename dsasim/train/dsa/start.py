"""Where joint training begins: the closed-form fit of every layer's path to a few dense runs of the model."""

import warnings
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import torch

from dsasim.config.share import parse_share
from dsasim.errors import ConfigError, TraceError
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import FittedPredictor
from dsasim.trace.capture.architecture import rotary_base
from dsasim.trace.capture.selection import CaptureSelection
from dsasim.trace.capture.session import Capture, CaptureWarning
from dsasim.trace.packing import pack_bits
from dsasim.trace.positions import Positions
from dsasim.train.closed_form import FitSequence, fit_layer
from dsasim.train.dsa.model import DsaModule, numbered
from dsasim.train.dsa.path import PredictionPath
from dsasim.train.static_scales import FITTED_BITS

FROZEN = "the dense model"
"""`fitted_on` of the paths that training begins with."""


def fitted_dsa(
    model: Any, runs: Sequence[Callable[[], object]], sigma: str | Decimal, bits: int, rank: int | None, seed: int
) -> DsaModule:
    """See `dsasim.train.dsa.attach`."""
    if bits not in FITTED_BITS:
        raise ConfigError(f"bits: {bits}; expected one of {', '.join(map(str, FITTED_BITS))}")
    if rank is not None and rank < 1:
        raise ConfigError(f"rank: {rank}; expected at least 1")
    columns = parse_share(sigma, "sigma")
    seen = [_layers(model, run) for run in runs]
    if not seen:
        raise TraceError("attach: no runs to fit the prediction paths to")
    base = rotary_base(model)
    paths = {}
    for name in seen[0]:
        layers = [of_run[name] for of_run in seen if name in of_run]
        paths[name] = PredictionPath(_fit(layers, columns, base, rank, seed), bits)
    return DsaModule(model, paths)


def _layers(model: Any, run: Callable[[], object]) -> dict[str, LayerArrays]:
    """The attention layers of one dense run, as `numbered` calls them; TraceError: one that cannot be captured."""
    every = CaptureSelection.of(None, None, None, 0, 0)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", CaptureWarning)
        with Capture(model, every, "float32", 0, None) as trace:
            run()
    if trace.not_captured or not trace.layers:
        raise TraceError("attach: attention that DSA cannot be put around", *trace.not_captured)
    names = numbered(layer["module"] for layer in trace.provenance()["layers"])
    return dict(zip(names, trace.layers, strict=True))


def _fit(
    layers: Sequence[LayerArrays], sigma: Decimal, base: float | None, rank: int | None, seed: int
) -> FittedPredictor:
    """The closed-form fit to one layer of several runs; TraceError: runs of unequal lengths or masks."""
    first = layers[0]
    for layer in layers[1:]:
        if layer.q.shape != first.q.shape or layer.k.shape != first.k.shape or not _same(layer.allowed, first.allowed):
            raise TraceError("attach: the runs differ in length or mask; give inputs of one length without padding")
    packed = None if first.allowed is None else pack_bits(np.asarray(first.allowed))
    positions = Positions(first.q.shape[1], first.k.shape[1], first.causal, packed)
    return fit_layer(
        [_sequence(layer) for layer in layers],
        positions,
        sigma,
        fitted_on=FROZEN,
        rotary_base=base,
        rank=rank,
        seed=seed,
    )


def _sequence(layer: LayerArrays) -> FitSequence:
    x_kv = None if layer.x_kv is None else np.asarray(layer.x_kv)
    return FitSequence(x_q=np.asarray(layer.x_q), q=np.asarray(layer.q), k=np.asarray(layer.k), x_kv=x_kv)


def _same(a: Any, b: Any) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))
