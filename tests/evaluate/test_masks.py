"""Masks that look at no score keep as many keys in every row as the top-k does."""

import numpy as np
import pytest

from dsasim import load_arch
from dsasim.evaluate.masks import masks_of
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.store import trace_in_memory


@pytest.fixture
def layer():
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(3, 40, 8)).astype(np.float32) for _ in "qkv")
    arrays = LayerArrays(5, q, k, v, rng.normal(size=(40, 16)).astype(np.float32), causal=True, scale=0.3)
    return trace_in_memory("t", [arrays], kind="real").layer(5)


@pytest.mark.parametrize("method", ["random", "sink_window"])
def test_static_masks(method, layer):
    arch = load_arch("dsa-decoupled", ["predictor.method=oracle_topk", "mask_generator.density=0.1"])
    oracle = list(masks_of(arch, "oracle_topk")(layer))
    made, again = list(masks_of(arch, method)(layer)), list(masks_of(arch, method)(layer))
    assert len(made) == 3
    for keep, other, same in zip(made, oracle, again, strict=True):
        assert np.array_equal(keep.row_counts, other.row_counts)
        assert keep.row_counts.tolist() == [max(1, -(-n // 10)) for n in range(1, 41)]
        assert not (keep.to_dense() & ~layer.allowed()).any()
        assert np.array_equal(keep.to_dense(), same.to_dense())


def test_sinks_and_window_by_hand(layer):
    arch = load_arch("dsa-decoupled", ["predictor.method=oracle_topk", "mask_generator.density=0.1"])
    keep = next(masks_of(arch, "sink_window")(layer)).to_dense()
    assert np.flatnonzero(keep[39]).tolist() == [0, 1, 38, 39]
    assert np.flatnonzero(keep[5]).tolist() == [5]


def test_the_window_of_a_decode_step_is_at_its_own_position():
    """Two rows over 40 keys are positions 38 and 39: 4 keys a row are two sinks and the two nearest up to there."""
    rng = np.random.default_rng(1)
    q, k = (rng.normal(size=(1, rows, 8)).astype(np.float32) for rows in (2, 40))
    x_q, x_kv = (rng.normal(size=(rows, 16)).astype(np.float32) for rows in (2, 40))
    arrays = LayerArrays(5, q, k, k, x_q, causal=True, scale=0.3, x_kv=x_kv)
    step = trace_in_memory("t", [arrays], kind="real").layer(5)
    arch = load_arch("dsa-decoupled", ["predictor.method=oracle_topk", "mask_generator.density=0.1"])
    keep = next(masks_of(arch, "sink_window")(step)).to_dense()
    assert [np.flatnonzero(row).tolist() for row in keep] == [[0, 1, 37, 38], [0, 1, 38, 39]]


def test_every_head_has_random_keys_of_its_own(layer):
    arch = load_arch("dsa-decoupled", ["predictor.method=oracle_topk", "mask_generator.density=0.1"])
    made = [keep.to_dense() for keep in masks_of(arch, "random")(layer)]
    assert len({keep.tobytes() for keep in made}) == 3
