"""Predictors fitted on the very trace they predict, so that a fresh capture runs on a design that needs them.

The fit has seen the scores it is asked for: its masks are better than on unseen input, the more so the shorter the
trace. `fitted_on` says `self`, and every run on it says so too (`trace.notes`).
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np

from dsasim.errors import TraceError
from dsasim.trace.arrays import Tensors, encode_fit
from dsasim.trace.attention import AttentionTrace, LayerTrace
from dsasim.trace.notes import SELF
from dsasim.trace.schema import METADATA_KEY, metadata_document, prefix_of
from dsasim.trace.store import open_trace
from dsasim.trace.stream import StreamedTensor, write_stream
from dsasim.trace.tensors import MappedTensors
from dsasim.train.closed_form import FitSequence, fit_batch

ROTARY_KEY = "rotary_base"
"""The key of a trace's provenance under which a capture notes the model's rotary theta."""


def fit_trace(
    source: Path,
    out: Path,
    sigmas: Sequence[Decimal],
    *,
    rotary_base: float | None = None,
    rank: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the trace at `source` with a predictor for each of `sigmas` in every layer, as `out`.

    Weights belong to a layer: of several sequences they are fitted to all, and stored once.
    `rotary_base` is the theta of a model that rotates Q and K (`known_rotary_base` knows some): its predictors get
    position columns. `rank` defaults to ceil(k / num_heads). One layer's tensors are in memory at a time, those of
    all sequences.
    TraceError: masks only, a sigma that is there already, a trace that does not fit the columns.
    """
    trace = open_trace(source)
    _check(trace, sigmas, rotary_base)
    stored = MappedTensors(source)
    metadata = metadata_document(stored.label, stored.metadata[METADATA_KEY])
    del metadata["sha256"]
    tensors: Tensors = {name: stored.raw(name) for name in stored}
    entries = {(entry["number"], entry.get("sequence", 0)): entry for entry in metadata["layers"]}
    steps = list(product(trace.layer_numbers, sorted(set(sigmas))))
    for done, (number, sigma) in enumerate(steps):
        batch = trace.batch(number)
        fits = fit_batch(
            [_sequence(layer) for layer in batch],
            [layer.positions for layer in batch],
            sigma,
            fitted_on=SELF,
            rotary_base=rotary_base,
            rank=rank,
            seed=seed,
        )
        for layer, fitted in zip(batch, fits, strict=True):
            predictors = entries[layer.key].setdefault("predictors", {})
            predictors[str(sigma)] = encode_fit(prefix_of(*layer.key), fitted, tensors)
        if progress is not None:
            progress(done + 1, len(steps))
    write_stream(
        out, {name: StreamedTensor.of(np.ascontiguousarray(array)) for name, array in tensors.items()}, metadata
    )


def known_rotary_base(trace: AttentionTrace) -> float | None:
    """The rotary theta that the trace's provenance names; TraceError if it is not a number above 1."""
    base = trace.meta.provenance.get(ROTARY_KEY)
    if base is not None and (isinstance(base, bool) or not isinstance(base, int | float) or base <= 1):
        raise TraceError(f"{trace.meta.name}: provenance.{ROTARY_KEY} is {base!r}; expected a number above 1")
    return None if base is None else float(base)


def has_position_columns(trace: AttentionTrace) -> bool:
    """Whether a predictor on file has position columns: then the model rotates its queries and keys."""
    return any(
        layer.source.shape(entry.tensors["positions"])[1] > 0 for layer in trace for entry in layer.predictors.values()
    )


def _check(trace: AttentionTrace, sigmas: Sequence[Decimal], rotary_base: float | None) -> None:
    """Refuse what would fail, or replace something, before the first layer is fitted."""
    name = trace.meta.name
    if trace.masks_only:
        raise TraceError(f"{name} holds keep masks only: there are no scores to fit a predictor to")
    if rotary_base is None and has_position_columns(trace):
        raise TraceError(f"{name}: its predictors have position columns; name the model's rotary base for new ones")
    for layer in trace:
        for sigma in set(sigmas) & set(layer.predictors):
            fitted_on = layer.predictors[sigma].fitted_on
            raise TraceError(f"{name}: layer {layer.label} has a predictor for sigma {sigma}, fitted on {fitted_on}")


def _sequence(layer: LayerTrace) -> FitSequence:
    return FitSequence(
        x_q=layer.x_q(),
        q=np.stack([layer.q(head) for head in range(layer.num_heads)]),
        k=np.stack([layer.k(head) for head in range(layer.num_kv_heads)]),
        x_kv=None if layer.self_attention else layer.x_kv(),
    )
