"""Masks of several sequences: each its own, also when they are remembered."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.prediction import load_predictor
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace, LayerTrace
from dsasim.trace.cache import MemoryCache
from dsasim.trace.disk_cache import DiskCache
from dsasim.trace.store import trace_in_memory
from dsasim.train.closed_form import FitSequence, fit_batch

BASE = ("predictor.sigma=0.5", "predictor.bits=8", "mask_generator.density=0.25")
THRESHOLD = ("mask_generator.selection=threshold", "mask_generator.density=null", "mask_generator.threshold=0.1")
DESIGNS = {
    "dsa2021": (),
    "threshold": THRESHOLD,
    "oracle_topk": ("predictor.method=oracle_topk",),
    "oracle_threshold": ("predictor.method=oracle_threshold", *THRESHOLD),
    "given": ("predictor.method=given",),
}


@pytest.fixture
def batch(make_arrays: Callable[..., LayerArrays]) -> AttentionTrace:
    """One layer on three sequences of equal shape, with a predictor fitted to all and masks of their own."""
    layers = [
        replace(make_arrays(seed=seed, keep=np.random.default_rng(seed).random((4, 24, 24)) < 0.2), sequence=seed)
        for seed in range(3)
    ]
    layers = [replace(layer, keep=np.tril(layer.keep)) for layer in layers if layer.keep is not None]
    where = [trace_in_memory("a", [replace(layer, sequence=0)]).layer(5).positions for layer in layers]
    sequences = [FitSequence(layer.x_q, layer.q, layer.k) for layer in layers]
    fits = fit_batch(sequences, where, Decimal("0.5"), fitted_on="itself")
    fitted = [replace(layer, predictors=(fit,)) for layer, fit in zip(layers, fits, strict=True)]
    return trace_in_memory("batch", fitted, dtype="float32")


def masks_of(arch: ArchConfig, layer: LayerTrace) -> list[object]:
    predictor = load_predictor(arch, layer)
    return [predictor.select(head).keep.block(0, layer.L_q).to_dense().tolist() for head in (0, 3)]


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("design", DESIGNS)
def test_a_remembered_mask_is_that_of_its_sequence(
    design: str, on_disk: bool, batch: AttentionTrace, make_arch: Callable[..., ArchConfig], tmp_path: Path
) -> None:
    arch = make_arch(*BASE, *DESIGNS[design])
    fresh = [masks_of(arch, layer) for layer in batch]
    assert fresh[0] != fresh[1] != fresh[2] != fresh[0]
    for order in (1, -1):  # whichever sequence comes first; the second time from what the first left
        memory = MemoryCache(1 << 22, DiskCache(tmp_path, 1 << 22, "trace") if on_disk else None)
        layers = list(batch.with_cache(memory))
        for _ in range(2):
            found = {layer.sequence: masks_of(arch, layer) for layer in layers[::order]}
            assert [found[sequence] for sequence in range(3)] == fresh


def test_what_is_missing_on_a_sequence_is_said(batch: AttentionTrace, make_arch: Callable[..., ArchConfig]) -> None:
    with pytest.raises(Exception, match=r"predictor\.sigma: layer 5 sequence 2 of the trace has no weights for 0\.1"):
        load_predictor(make_arch("predictor.sigma=0.1"), batch.layer(5, 2)).select(0)
