"""The meter against figures computed from dense matrices in float64."""

import math
from collections.abc import Callable
from dataclasses import astuple, replace
from itertools import product

import numpy as np
import pytest

from dsasim.errors import InvariantError, TraceError
from dsasim.masks import KeepMask
from dsasim.quality import QualityMeter
from dsasim.trace import positions
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import LayerTrace
from dsasim.trace.cache import MemoryCache
from dsasim.trace.info import natural_density
from dsasim.trace.store import trace_in_memory

MakeLayer = Callable[..., LayerTrace]


def dense_attention(layer: LayerTrace, head: int, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact scores, and softmax weights and output on kept positions; rows that keep nothing are zero."""
    kv_head = layer.kv_head(head)
    scores = layer.q(head).astype(float) @ layer.k(kv_head).astype(float).T * layer.scale
    bias = layer.bias(head)
    scores = scores if bias is None else scores + bias
    weights = np.where(keep, np.exp(scores), 0.0)
    sums = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    return scores, weights, weights @ layer.v(kv_head).astype(float)


def twin_figures(layer: LayerTrace, masks: list[np.ndarray]) -> tuple[float, float, float]:
    recalls, masses, error, reference = [], [], 0.0, 0.0
    for head, keep in enumerate(masks):
        allowed = layer.allowed()
        scores, exact_weights, exact = dense_attention(layer, head, allowed)
        for i in range(len(keep)):
            n = int(keep[i].sum())
            best = sorted(np.flatnonzero(allowed[i]), key=lambda j, row=scores[i]: -row[j])[:n]
            recalls += [np.mean(keep[i, best])] if n else []
            masses += [exact_weights[i][keep[i]].sum()] if allowed[i].any() else []
        error += np.sum((dense_attention(layer, head, keep)[2] - exact) ** 2)
        reference += np.sum(exact**2)
    return float(np.mean(recalls)), float(np.mean(masses)), math.sqrt(error / reference)


def random_masks(layer: LayerTrace, share: float) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [layer.allowed() & (rng.random((layer.L_q, layer.L_k)) < share) for _ in range(layer.num_heads)]


def padded(length: int) -> np.ndarray:
    """The first three keys are padding, so the first three causal rows see nothing."""
    allowed = np.ones((length, length), np.bool_)
    allowed[:, :3] = False
    return allowed


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"causal": False, "L_k": 31},
        {"heads": 4, "kv_heads": 2},
        {"allowed": padded(20)},
        {"bias": np.random.default_rng(1).normal(size=(2, 20, 20)).astype(np.float32)},
    ],
)
def test_figures_equal_dense_float64_attention(make_layer: MakeLayer, fields: dict[str, object]) -> None:
    layer, meter = make_layer(**fields), QualityMeter()
    masks = random_masks(layer, 0.4)
    for head, keep in enumerate(masks):
        meter.add(layer, head, KeepMask.from_dense(keep))
    quality = meter.result()
    assert astuple(quality.ours) == pytest.approx(twin_figures(layer, masks), rel=1e-5)
    allowed = layer.num_heads * int(layer.allowed().sum())
    assert quality.density == pytest.approx(sum(int(keep.sum()) for keep in masks) / allowed)


def test_the_oracle_is_at_least_as_good_as_everything(make_layer: MakeLayer) -> None:
    layer, meter = make_layer(L_q=60, L_k=60), QualityMeter()
    for head, keep in enumerate(random_masks(layer, 0.2)):
        meter.add(layer, head, KeepMask.from_dense(keep))
    quality = meter.result()
    assert quality.oracle.mask_recall_ratio == 1.0
    for other in (quality.ours, quality.random, quality.sink_window):
        assert other.mask_recall_ratio < 1.0
        assert other.captured_mass_ratio <= quality.oracle.captured_mass_ratio
        assert other.output_rel_l2 >= quality.oracle.output_rel_l2


def test_sink_and_window_stand_at_the_queries_own_positions(make_layer: MakeLayer) -> None:
    """Rows 0 and 1 of 9 keys are positions 7 and 8: 3 keys a row are the first and the two nearest up to there."""
    layer, meter = make_layer(L_q=2, L_k=9), QualityMeter()
    ours, expected = np.zeros((2, 2, 9), np.bool_)
    ours[:, 2:5] = True
    expected[0, [0, 6, 7]] = expected[1, [0, 7, 8]] = True
    for head in range(2):
        meter.add(layer, head, KeepMask.from_dense(ours))
    assert astuple(meter.result().sink_window) == pytest.approx(twin_figures(layer, [expected] * 2), rel=1e-5)


def test_every_head_has_random_masks_of_its_own(make_layer: MakeLayer) -> None:
    """Of two heads that are alike in all else, and of two layers."""
    alike = np.ones((2, 1, 1)) * np.random.default_rng(5).normal(size=(1, 20, 8))
    keep = KeepMask.from_dense(random_masks(make_layer(), 0.3)[0])
    same = trace_in_memory("alike", [LayerArrays(n, alike, alike[:1], alike[:1], alike[0], True, 1.0) for n in (0, 1)])
    found = []
    for number, head in ((0, 0), (0, 1), (1, 0)):
        meter = QualityMeter()
        meter.add(same.layer(number), head, keep)
        found.append(meter.result())
    assert found[0].oracle == found[1].oracle == found[2].oracle
    assert len({quality.random.captured_mass_ratio for quality in found}) == 3


def test_what_is_remembered_is_of_this_head_and_this_mask(make_layer: MakeLayer) -> None:
    """Two layers of two heads, each under two masks that keep as many keys in every row: one cache changes nothing."""
    cache, layers = MemoryCache(1 << 20), [make_layer(number=number) for number in (7, 8)]
    one = random_masks(layers[0], 0.3)[0]
    other = one.copy()
    other[19] = np.roll(one[19], 1)
    cases = list(product(layers, (0, 1), (one, other)))
    assert one[19].sum() == other[19].sum() > 0
    for _ in range(2):  # the second time all of it is remembered
        for layer, head, keep in cases:
            alone, remembered = QualityMeter(), QualityMeter()
            alone.add(layer, head, KeepMask.from_dense(keep))
            remembered.add(replace(layer, cache=cache), head, KeepMask.from_dense(keep))
            assert alone.result() == remembered.result()


def test_keeping_everything_changes_nothing(make_layer: MakeLayer) -> None:
    layer, meter = make_layer(), QualityMeter()
    meter.add(layer, 1, KeepMask.from_dense(layer.allowed()))
    quality = meter.result()
    assert quality.density == 1.0
    assert quality.ours == quality.oracle == quality.random == quality.sink_window
    assert (quality.ours.mask_recall_ratio, quality.ours.output_rel_l2) == (1.0, 0.0)
    assert quality.ours.captured_mass_ratio == pytest.approx(1.0, abs=1e-6)


def test_keeping_nothing_loses_everything(make_layer: MakeLayer) -> None:
    layer, meter = make_layer(), QualityMeter()
    meter.add(layer, 0, KeepMask.from_dense(np.zeros((20, 20), np.bool_)))
    assert astuple(meter.result().ours) == (0.0, 0.0, 1.0)


def test_the_result_does_not_depend_on_the_order_of_heads(make_layer: MakeLayer) -> None:
    layer = make_layer()
    masks = random_masks(layer, 0.3)
    results = []
    for order in ((0, 1), (1, 0)):
        meter = QualityMeter()
        for head in order:
            meter.add(layer, head, KeepMask.from_dense(masks[head]))
        results.append(meter.result())
    for first, second in zip(astuple(results[0]), astuple(results[1]), strict=True):
        assert first == pytest.approx(second, rel=1e-12)


@pytest.mark.parametrize("fields", [{}, {"causal": False, "L_k": 31}, {"allowed": padded(20)}])
def test_the_result_does_not_depend_on_the_blocks_of_rows(
    make_layer: MakeLayer, fields: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = [KeepMask.from_dense(keep) for keep in random_masks(make_layer(**fields), 0.3)]
    results = []
    for rows in (20, 1, 3, 19):
        monkeypatch.setattr(positions, "BLOCK_POSITIONS", rows * 31)
        layer, meter = make_layer(**fields), QualityMeter()
        for head, keep in enumerate(masks):
            meter.add(layer, head, keep)
        results.append((meter.result(), natural_density(layer)))
    assert all(result == results[0] for result in results)


def test_an_empty_meter_has_no_result() -> None:
    with pytest.raises(InvariantError, match="no query row"):
        QualityMeter().result()


def test_a_layer_of_masks_cannot_be_measured(make_layer: MakeLayer) -> None:
    layer = make_layer()
    with pytest.raises(TraceError, match="keep masks only"):
        QualityMeter().add(replace(layer, has_qkv=False), 0, KeepMask.from_dense(layer.allowed()))
