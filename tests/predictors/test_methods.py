"""The methods that cost nothing: oracle, dense and given masks, and how a method is chosen."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dsasim import registry
from dsasim.config.schema import ArchConfig
from dsasim.errors import TraceError
from dsasim.masks import Selection
from dsasim.methods.base import NO_STATE
from dsasim.prediction import load_predictor
from dsasim.trace.arrays import LayerArrays, MaskArrays
from dsasim.trace.attention import LayerTrace
from dsasim.trace.store import trace_in_memory

MakeArch = Callable[..., ArchConfig]
MakeArrays = Callable[..., LayerArrays]


def layer_of(arrays: LayerArrays) -> LayerTrace:
    return trace_in_memory("small", [arrays], dtype="float32").layer(arrays.number)


def assert_free(selection: Selection) -> None:
    assert not selection.comparisons.any()
    assert not selection.row_cycles.any()


def test_methods_are_the_files_there_are() -> None:
    assert registry.names("methods") == ("dense", "dsa2021", "given", "oracle_threshold", "oracle_topk")
    assert {name for name in registry.names("methods") if registry.find("methods", name).kinds} == {"dsa2021"}


def test_oracle_top_k_keeps_the_highest_exact_scores(make_arch: MakeArch, make_arrays: MakeArrays) -> None:
    bias = np.random.default_rng(4).normal(size=(1, 24, 24)).astype(np.float32)
    layer = layer_of(make_arrays(bias=bias))
    predictor = load_predictor(make_arch("predictor.method=oracle_topk", "mask_generator.density=0.3"), layer)
    assert predictor.work is None
    selection = predictor.select(3)
    assert_free(selection)
    scores = layer.q(3).astype(float) @ layer.k(1).astype(float).T * layer.scale + bias[0]
    keep = selection.keep.to_dense()
    for i in range(24):
        kept, dropped = scores[i][keep[i]], scores[i, : i + 1][~keep[i, : i + 1]]
        assert len(kept) == max(1, -(-3 * (i + 1) // 10))
        assert dropped.size == 0 or kept.min() > dropped.max()


def test_oracle_threshold_keeps_scaled_scores_above_it(make_arch: MakeArch, make_arrays: MakeArrays) -> None:
    layer = layer_of(make_arrays())
    arch = make_arch(
        "predictor.method=oracle_threshold", "mask_generator.selection=threshold", "mask_generator.threshold=0.5"
    )
    selection = load_predictor(arch, layer).select(0)
    assert_free(selection)
    scores = layer.q(0).astype(float) @ layer.k(0).astype(float).T * layer.scale
    assert np.array_equal(selection.keep.to_dense(), (scores > 0.5) & layer.allowed())


def test_dense_keeps_what_is_allowed(make_arch: MakeArch, make_arrays: MakeArrays) -> None:
    allowed = np.random.default_rng(2).random((24, 24)) < 0.5
    layer = layer_of(make_arrays(allowed=allowed))
    selection = load_predictor(make_arch("predictor.method=dense"), layer).select(1)
    assert_free(selection)
    assert np.array_equal(selection.keep.block(0, 24).to_dense(), allowed & np.tri(24, dtype=np.bool_))


def test_given_keeps_the_stored_mask(make_arch: MakeArch, make_arrays: MakeArrays) -> None:
    keep = np.tril(np.random.default_rng(2).random((4, 24, 24)) < 0.3)
    layer = layer_of(make_arrays(keep=keep))
    selection = load_predictor(make_arch("predictor.method=given"), layer).select(2)
    assert_free(selection)
    assert np.array_equal(selection.keep.to_dense(), keep[2])


def test_given_without_a_mask_says_what_to_do(make_arch: MakeArch, make_arrays: MakeArrays) -> None:
    predictor = load_predictor(make_arch("predictor.method=given"), layer_of(make_arrays()))
    with pytest.raises(TraceError, match=r"layer 5 .* holds no keep mask.*import-mask.*oracle_topk"):
        predictor.select(0)


@pytest.mark.parametrize("method", ["given", "dense"])
def test_a_trace_of_masks_is_given_or_dense(make_arch: MakeArch, method: str) -> None:
    keep = np.eye(6, dtype=np.bool_)[None]
    layer = trace_in_memory(
        "masks", [MaskArrays(0, np.packbits(keep, axis=-1), 6, 8, 1, causal=False)], kind="mask"
    ).layer(0)
    predictor = load_predictor(make_arch(f"predictor.method={method}"), layer)
    assert predictor.work is None
    expected = np.ones_like(keep[0]) if method == "dense" else keep[0]
    assert np.array_equal(predictor.select(0).keep.block(0, 6).to_dense(), expected)


def test_an_oracle_needs_queries_and_keys(make_arch: MakeArch, make_arrays: MakeArrays) -> None:
    layer = replace(layer_of(make_arrays()), has_qkv=False)
    oracle = registry.find("methods", "oracle_topk")(make_arch("predictor.method=oracle_topk"), layer, NO_STATE)
    with pytest.raises(TraceError, match="holds keep masks only"):
        oracle.scorer(0)
