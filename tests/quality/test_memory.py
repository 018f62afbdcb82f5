"""Selecting and measuring a head takes memory for blocks of rows, never for an L x L array."""

import tracemalloc

import numpy as np

from dsasim.config.loader import load_arch
from dsasim.prediction import load_predictor
from dsasim.quality import QualityMeter
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import LayerTrace
from dsasim.trace.info import natural_density
from dsasim.trace.store import trace_in_memory

D_HEAD = 8


def long_layer(L: int) -> LayerTrace:
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 1, L, D_HEAD)).astype(np.float32)
    return trace_in_memory("long", [LayerArrays(0, q, k, v, q[0], causal=True, scale=D_HEAD**-0.5)]).layer(0)


def work(layer: LayerTrace) -> None:
    """Everything functional of one head."""
    arch = load_arch("dsa-decoupled", ("predictor.method=oracle_topk", "mask_generator.density=0.02"))
    keep, meter = load_predictor(arch, layer).select(0).keep, QualityMeter()
    meter.add(layer, 0, keep)
    assert meter.result().density < 0.05
    natural_density(layer)


def test_a_head_takes_less_than_one_boolean_a_position() -> None:
    """NumPy's memory; what kernels return is a block's or the mask's (the benchmark watches the whole process)."""
    work(long_layer(64))
    L = 4096
    layer = long_layer(L)
    tracemalloc.start()
    work(layer)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < L * L
