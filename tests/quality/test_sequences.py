"""Quality and overlap of several sequences: what is remembered of one is never another's, and how rows weigh."""

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from dsasim.config.loader import load_arch
from dsasim.errors import TraceError
from dsasim.masks import KeepMask
from dsasim.quality import QualityMeter
from dsasim.quality.measure import Quality
from dsasim.quality.overlap import compare_masks
from dsasim.trace.arrays import LayerArrays, MaskArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.cache import MemoryCache
from dsasim.trace.disk_cache import DiskCache
from dsasim.trace.store import trace_in_memory

HEADS = 2


def arrays(L: int, seed: int, sequence: int = 0) -> LayerArrays:
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(size=(heads, L, 8)) for heads in (HEADS, 1, 1))
    return LayerArrays(7, 3 * q, k, v, rng.normal(size=(L, 6)), causal=True, scale=8**-0.5, sequence=sequence)


def of(*layers: LayerArrays) -> AttentionTrace:
    return trace_in_memory("small", layers, dtype="float32")


def measured(*traces: AttentionTrace) -> Quality:
    """Every third allowed key of each row is kept, the row's own always."""
    meter = QualityMeter()
    for layer in (layer for trace in traces for layer in trace):
        own = np.arange(layer.L_q)[:, None]
        keep = KeepMask.from_dense(layer.allowed() & ((own - np.arange(layer.L_k)) % 3 == 0))
        for head in range(layer.num_heads):
            meter.add(layer, head, keep)
    return meter.result()


def test_a_batch_is_measured_as_its_sequences_are() -> None:
    """The same figures, of the other masks too, whose random draws do not depend on what else is in the batch."""
    together = measured(of(arrays(20, 1), arrays(9, 2, sequence=1)))
    assert together == measured(of(arrays(20, 1)), of(arrays(9, 2)))


def test_every_row_counts_alike_whichever_sequence_it_is_of() -> None:
    first, second = measured(of(arrays(20, 1))), measured(of(arrays(9, 2)))
    together = measured(of(arrays(20, 1), arrays(9, 2, sequence=1)))
    for name in ("mask_recall_ratio", "captured_mass_ratio"):
        a, b = getattr(first.ours, name), getattr(second.ours, name)
        assert getattr(together.ours, name) == pytest.approx((20 * a + 9 * b) / 29)
        assert abs(a - b) > 0.01
    assert together.density == pytest.approx(
        (210 * first.density + 45 * second.density) / 255
    )  # 20 x 21 / 2, 9 x 10 / 2


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_is_remembered_of_a_sequence_is_not_another_s(on_disk: bool, tmp_path: Path) -> None:
    """Both have the same masks and other tensors: a memory that asked for the mask alone would mix them up."""
    trace = of(arrays(20, 1), arrays(20, 2, sequence=1))
    fresh = measured(trace)
    assert astuple(fresh.ours) != astuple(measured(of(arrays(20, 1))).ours)
    for _ in range(2):  # the second time from what the first left: a memory is new, the disk is not
        memory = MemoryCache(1 << 20, DiskCache(tmp_path, 1 << 20, trace.meta.sha256) if on_disk else None)
        with_cache = trace.with_cache(memory)
        assert measured(with_cache) == measured(with_cache) == fresh


def masks(*sequences: np.ndarray) -> AttentionTrace:
    """A layer of one head on some sequences, bool [L_q, L_k] each."""
    layers = [
        MaskArrays(2, np.packbits(keep, axis=-1)[None], keep.shape[1], 8, 1, False, sequence)
        for sequence, keep in enumerate(sequences)
    ]
    return trace_in_memory("masks", layers, kind="mask")


def test_each_sequence_is_compared_with_that_of_the_other_input() -> None:
    arch, eye = load_arch("dsa-decoupled"), np.eye(8, dtype=bool)
    half = np.vstack([eye[:4], np.roll(eye[4:], 1, axis=1)])
    first, second = compare_masks(masks(eye, half), masks(eye, eye), arch)
    assert [(layer.label, layer.heads[0].iou_ratio) for layer in (first, second)] == [
        ("2 sequence 0", 1.0),
        ("2 sequence 1", 4 / 12),
    ]
    assert (second.to_json()["layer"], second.to_json()["sequence"]) == (2, 1)
    (single,) = compare_masks(masks(eye), masks(eye), arch)
    assert single.label == "2"
    assert list(single.to_json()) == ["layer", "heads"]
    (common,) = compare_masks(masks(eye, half), masks(eye), arch)
    assert common.sequence == 0
    with pytest.raises(TraceError, match="layer 2 sequence 1 has L_k 8 in masks and 5 in masks"):
        compare_masks(masks(eye, eye), masks(eye, eye[:, :5]), arch)


def test_sequences_of_other_numbers_are_not_compared() -> None:
    other = replace(masks(np.eye(8, dtype=bool)), layers={})
    with pytest.raises(TraceError, match="have no layer in common"):
        compare_masks(masks(np.eye(8, dtype=bool)), other, load_arch("dsa-decoupled"))
