"""The trend's statistics by hand, a planted wrong order, and the accelerator on whole blocks."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from dsasim.api import load_arch, load_trace
from dsasim.baseline.gpu_table import load_gpus
from dsasim.report.validation import print_validation
from dsasim.report.validation_page import validation_page
from dsasim.validate.gpu.block_sparse import block_mask, compiled_flex_attention, kept_blocks, no_compiler
from dsasim.validate.gpu.case import Case
from dsasim.validate.gpu.kernels import UnavailableError, flex_blocks
from dsasim.validate.gpu.machine import ENERGY_SECONDS, energy_uj
from dsasim.validate.gpu.timing import measure
from dsasim.validate.gpu.trend import Point, beside_roofline, break_even, judged, mape, simulated_cycles, spearman
from dsasim.validate.result import Validation

POINT = Point(512, 1.0, 1.0, 100.0, 120.0, 30.0, 10_000, 100.0)


@pytest.fixture
def validated():
    """A validation of one check."""
    meta = load_trace("minilm-l128").meta
    return lambda check: Validation("design", "0" * 64, meta, {0: (0,)}, "cpu", {"dsasim": "0"}, (check,))


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


def test_the_roofline_is_that_of_the_baselines_for_the_kept_blocks():
    """H100, 2 heads of 4096, d_head 64: 8.59 GFLOP on 64 of 132 SMs at 0.748 of 989.4 TFLOP/s, and 5 us of launch."""
    h100 = next(gpu for gpu in load_gpus() if gpu.name == "H100")
    dense_us = 4 * 64 * 2 * 4096**2 / (989.4e6 * 0.748 * 64 / 132)
    points = [replace(POINT, L=4096, block_density=share) for share in (1.0, 0.25)]
    found = [point.roofline_us for point in beside_roofline(points, h100)]
    assert found == pytest.approx([dense_us + 5, dense_us / 4 + 5])


def test_a_reader_sees_the_figures_and_what_a_device_cannot_validate(validated, capsys):
    judgement = judged([scaled(density) for density in (1.0, 0.5, 0.25)])
    result = validated(judgement)
    print_validation(result, Console(width=100))
    for text in (capsys.readouterr().out, validation_page(result)):
        assert "does not validate cycles of the accelerator" in " ".join(text.split())
        assert "break-even length" in text
        assert "0.167" in text  # roofline 100 for 120 measured


def test_a_flex_attention_that_does_not_compile_is_unavailable(monkeypatch):
    def refuses(*_, **__):
        raise RuntimeError("no working compiler\nand pages more")

    monkeypatch.setattr("dsasim.validate.gpu.kernels.no_compiler", lambda _: "")
    monkeypatch.setattr("dsasim.validate.gpu.kernels.compiled_flex_attention", lambda: refuses)
    with pytest.raises(UnavailableError, match=r"does not compile: no working compiler$"):
        flex_blocks(Case(128, 1, 16, 0.5, "cpu", torch.float32))


def test_the_compiler_asked_for_is_the_one_looked_for(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler" in no_compiler("cpu")
    assert no_compiler("cuda") == ""


def test_energy_is_counted_for_five_seconds_however_short_a_warm_call_is(monkeypatch):
    """A call said to take 100 ms and taking 50: 10 a batch, so 10 batches of 0.5 s; 100 W make 5 J a call."""
    now = [0.0]

    def call():
        now[0] += 0.05

    nvml = SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=lambda _: 1e5 * now[0])
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr("dsasim.validate.gpu.machine._nvml_handle", lambda _: 0)
    monkeypatch.setattr("dsasim.validate.gpu.machine.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert energy_uj(call, "cuda", 1e5) == pytest.approx(5e6)
    assert now[0] >= ENERGY_SECONDS


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


def test_flex_attention_computes_the_kept_blocks_only(monkeypatch):
    monkeypatch.undo()  # the compiler that conftest hides
    if no_compiler("cpu"):
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


def test_more_shapes_than_pytorch_compiles_by_itself(monkeypatch):
    """With a limit of one, the second shape would be refused."""
    monkeypatch.undo()  # the compiler that conftest hides
    if no_compiler("cpu"):
        pytest.skip("no C++ compiler")
    torch.compiler.reset()
    with torch._dynamo.config.patch(recompile_limit=1):
        for L in (130, 131, 132):
            call = flex_blocks(Case(L, 1, 16, 1.0, "cpu", torch.float32))
            assert measure(call, "cpu", 1).median_us > 0
