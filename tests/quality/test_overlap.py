"""How masks of a head overlap between two inputs."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from dsasim.api import load_trace
from dsasim.config.loader import load_arch
from dsasim.errors import TraceError
from dsasim.quality.overlap import HeadOverlap, LayerOverlap, compare_masks
from dsasim.trace.arrays import LayerArrays, MaskArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory

ARCH = load_arch("dsa-decoupled", ["predictor.method=oracle_topk"])


def masks(name: str, keep: np.ndarray, numbers: Sequence[int] = (0,), causal: bool = False) -> AttentionTrace:
    """A trace of masks: bool [layers, heads, L_q, L_k]."""
    layers = [
        MaskArrays(number, np.packbits(of, axis=-1), keep.shape[3], 8, keep.shape[1], causal)
        for number, of in zip(numbers, keep, strict=True)
    ]
    return trace_in_memory(name, layers, kind="mask")


def test_worked_example() -> None:
    """Ten rows of ten keys keep one each, four of them the same: 4 of 16; by chance 1 of 19."""
    a, b = np.eye(10, dtype=bool), np.eye(10, dtype=bool)
    b[:6] = np.roll(b[:6], 1, axis=1)
    (layer,) = compare_masks(masks("a", a[None, None]), masks("b", b[None, None]), ARCH)
    (head,) = layer.heads
    assert head.iou_ratio == 4 / 16
    assert head.chance_iou_ratio == pytest.approx(1 / 19)
    assert (head.density_a, head.density_b) == (0.1, 0.1)


def test_every_position_counts_however_rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 2, 3, 20, 30)) < np.array([0.2, 0.4])[:, None, None, None, None]
    monkeypatch.setattr("dsasim.trace.positions.BLOCK_POSITIONS", 30 * 7)
    found = compare_masks(masks("a", a, (3, 8)), masks("b", b, (3, 8)), ARCH)
    assert [layer.layer for layer in found] == [3, 8]
    for layer, head in itertools.product(range(2), range(3)):
        of_a, of_b = a[layer, head], b[layer, head]
        overlap = found[layer].heads[head]
        assert overlap.iou_ratio == (of_a & of_b).sum() / (of_a | of_b).sum()
        assert (overlap.density_a, overlap.density_b) == (of_a.mean(), of_b.mean())


def test_random_masks_overlap_as_chance_says() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 1, 1, 300, 300)) < 0.2
    head = compare_masks(masks("a", np.tril(a), causal=True), masks("b", np.tril(b), causal=True), ARCH)[0].heads[0]
    assert head.iou_ratio == pytest.approx(head.chance_iou_ratio, abs=0.01)
    assert head.chance_iou_ratio == pytest.approx(0.2 / 1.8, abs=0.01)


def test_an_input_that_is_padded_has_fewer_positions_to_keep() -> None:
    """All 20 keys are allowed in A, the first 10 in B. At density 0.1 rows keep 2 and 1, a tenth of what each may.

    By chance a row shares B's key with A's two of twenty: 0.1 keys, of 3 - 0.1.
    """
    q, k, v = np.random.default_rng(0).normal(size=(3, 1, 20, 8))
    short = np.broadcast_to(np.arange(20) < 10, (20, 20))
    a, b = (
        trace_in_memory(name, [LayerArrays(0, q, k, v, q[0], causal=False, scale=1.0, allowed=allowed)])
        for name, allowed in (("a", None), ("b", short))
    )
    head = compare_masks(a, b, ARCH)[0].heads[0]
    assert (head.density_a, head.density_b) == (0.1, 0.1)
    assert head.chance_iou_ratio == pytest.approx(0.1 / 2.9)
    back = compare_masks(b, a, ARCH)[0].heads[0]
    assert (back.density_a, back.density_b, back.chance_iou_ratio) == (0.1, 0.1, head.chance_iou_ratio)


def test_a_layer_has_the_mean_of_its_heads() -> None:
    layer = LayerOverlap(0, (HeadOverlap(0, 0.2, 0.1, 0.5, 0.25), HeadOverlap(1, 0.6, 0.3, 1.0, 0.75)))
    names = ("iou_ratio", "chance_iou_ratio", "density_a", "density_b")
    assert [layer.mean(name) for name in names] == pytest.approx([0.4, 0.2, 0.75, 0.5])


def test_masks_that_keep_nothing_do_not_overlap() -> None:
    head = compare_masks(*(masks(name, np.zeros((1, 1, 4, 4), bool)) for name in "ab"), ARCH)[0].heads[0]
    assert (head.iou_ratio, head.chance_iou_ratio) == (0, 0)


def test_masks_of_tensors_are_made_by_the_design(root: Path) -> None:
    trace = load_trace("minilm-l128")
    oracle = compare_masks(trace, trace, ARCH)
    assert {head.iou_ratio for layer in oracle for head in layer.heads} == {1.0}
    assert oracle[0].heads[0].density_a == pytest.approx(13 / 128)
    dense = load_arch("dense-16x16", ["pe_array.dataflow=token_parallel"])
    assert compare_masks(trace, trace, dense)[0].heads[0].density_b == 1.0


def test_layers_in_common_are_compared(make_masks: Callable[..., AttentionTrace]) -> None:
    seen: list[tuple[int, int]] = []
    found = compare_masks(make_masks("a", (1, 2)), make_masks("b", (2, 3)), ARCH, lambda *at: seen.append(at))
    assert [layer.layer for layer in found] == [2]
    assert seen == [(1, 2), (2, 2)]
    with pytest.raises(TraceError, match=r"^a and b have no layer in common$"):
        compare_masks(make_masks("a", (1,)), make_masks("b", (2,)), ARCH)


def test_other_shapes_are_refused(make_masks: Callable[..., AttentionTrace]) -> None:
    longer = masks("b", np.ones((1, 2, 4, 5), bool), (1,))
    with pytest.raises(TraceError, match="layer 1 has L_k 4 in a and 5 in b: masks are compared position by position"):
        compare_masks(make_masks("a", (1,)), longer, ARCH)


@pytest.fixture
def make_masks() -> Callable[..., AttentionTrace]:
    """Two heads that keep everything, in layers of these numbers."""
    return lambda name, numbers: masks(name, np.ones((len(numbers), 2, 4, 4), bool), numbers)
