"""The trend's statistics by hand, a planted wrong order, and the accelerator on whole blocks."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dsasim.api import load_arch
from dsasim.validate.gpu.block_sparse import block_mask, can_compile, compiled_flex_attention, kept_blocks
from dsasim.validate.gpu.case import Case
from dsasim.validate.gpu.trend import Point, break_even, judged, mape, simulated_cycles, spearman

POINT = Point(512, 1.0, 1.0, 100.0, 120.0, 30.0, 100.0, 10_000)


def scaled(density, **changes):
    return replace(
        POINT,
        density=density,
        block_density=density,
        sparse_us=120 * density,
        roofline_us=100 * density,
        cycles=int(10_000 * density),
        **changes,
    )


def test_spearman_worked_examples():
    assert spearman([1, 2, 3], [10, 30, 20]) == pytest.approx(0.5)
    assert spearman([1, 2, 3], [4, 5, 6]) == pytest.approx(1.0)
    assert spearman([1, 1, 2], [5, 5, 9]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)


def test_mape_worked_example():
    assert mape([1, 2], [2, 1]) == pytest.approx(0.75)


def test_break_even_counts_the_prediction():
    """At density 0.5 sparse takes 60 and prediction 30 of dense's 100; with a prediction of 40 it does not pay."""
    assert break_even([POINT, scaled(0.5)]) == 512
    assert break_even([POINT, scaled(0.5, prediction_us=40.0)]) is None


def test_times_in_the_order_of_the_work_pass_and_others_fail():
    good = [scaled(density) for density in (1.0, 0.5, 0.25, 0.125)]
    assert judged(good).status == "passed"
    bad = [replace(point, cycles=good[-1 - at].cycles) for at, point in enumerate(good)]
    failed = judged(bad)
    assert failed.status == "failed"
    assert "-1.000" in failed.detail


def test_more_blocks_take_more_cycles():
    arch = load_arch("dsa-decoupled")
    few, all_blocks = np.eye(2, dtype=np.bool_)[None], np.ones((1, 2, 2), dtype=np.bool_)
    assert 1.5 < simulated_cycles(arch, all_blocks, 256) / simulated_cycles(arch, few, 256) < 2.5


def test_blocks_of_a_mask():
    keep = torch.zeros(1, 5, 6, dtype=torch.bool)
    keep[0, 4, 5] = True
    assert kept_blocks(keep, 4).tolist() == [[[False, False], [False, True]]]


def test_block_density_is_rounded_up_and_a_row_keeps_its_own_block():
    case = Case(512, 2, 64, 0.3, "cpu", torch.float32)
    assert case.block_density == 0.5
    assert case.blocks.diagonal(dim1=1, dim2=2).all()


def test_flex_attention_computes_the_kept_blocks_only():
    if not can_compile("cpu"):
        pytest.skip("no C++ compiler")
    case = Case(300, 2, 16, 0.5, "cpu", torch.float32)
    q, k, v = (part[None] for part in case.qkv)
    mask = block_mask(case.blocks, 128, 300, 300)
    out = compiled_flex_attention()(q, k, v, block_mask=mask, scale=0.25)
    keep = case.blocks.repeat_interleave(128, 1).repeat_interleave(128, 2)[:, :300, :300]
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=keep, scale=0.25)
    assert torch.allclose(out, expected, atol=1e-5)


def test_vectors_keep_their_density():
    case = Case(64, 2, 16, 0.1, "cpu", torch.float32)
    vectors = case.vectors(4)
    assert vectors.num_vectors == 2 * 16 * 7  # ceil(0.1 * 64) keys a group of 4 rows
    assert (vectors.wanted == 0b1111).all()
