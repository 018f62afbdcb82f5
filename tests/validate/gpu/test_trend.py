"""The trend's statistics by hand, a planted wrong order, and the accelerator on whole blocks."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from dsasim.api import load_arch, load_trace
from dsasim.baseline.gpu import AttentionShape, attention_ns
from dsasim.baseline.gpu_table import load_gpus
from dsasim.report.validation import print_validation
from dsasim.report.validation_page import validation_page
from dsasim.validate.gpu import trend
from dsasim.validate.gpu.block_sparse import block_mask, compiled_flex_attention, kept_blocks, no_compiler
from dsasim.validate.gpu.case import Case
from dsasim.validate.gpu.kernels import SPARSE, Kernel, UnavailableError, flex_blocks
from dsasim.validate.gpu.timing import Timing, Trial, measure
from dsasim.validate.gpu.trend import DENSITIES, LENGTHS, NUM_HEADS, beside_roofline, simulated
from dsasim.validate.gpu.trend_report import TrendPoint, break_even_lengths, judged
from dsasim.validate.result import Validation
from dsasim.validate.statistics import break_even, mape, spearman

POINT = TrendPoint(
    L=512, density=1.0, block_density=1.0, num_blocks=32, dense_us=100.0, sparse_us=120.0, prediction_us=30.0,
    cycles=10_000, num_heads=2, clock_ghz=1.0, utilisation=0.5, dram_bytes=0, sparse_roofline_us=100.0,
)  # fmt: skip


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
        sparse_roofline_us=100 * density,
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


def test_break_even_worked_example():
    ratios = [(64, 0.8), (128, 1.1), (256, 0.9), (512, 1.2), (1024, 2.0)]
    assert break_even(ratios) == 512
    assert break_even(ratios[:3]) is None
    assert break_even([]) is None
    assert break_even([(64, 1.0)]) is None  # as fast is no gain
    assert break_even([(64, 1.5), (128, 1.0), (256, 1.5)]) == 256


def test_break_even_counts_the_prediction_density_by_density():
    """At density 0.5 sparse takes 60 and prediction 30 of dense's 100; with a prediction of 40 it does not pay."""
    assert dict(break_even_lengths([POINT, scaled(0.5)])) == {1.0: None, 0.5: 512}
    assert dict(break_even_lengths([POINT, scaled(0.5, prediction_us=40.0)])) == {1.0: None, 0.5: None}


def test_ratios_for_the_same_peak_and_bandwidth():
    """60 us of sparse attention over 5 us of 5,000 cycles: 12; 10 times the peak, twice the bandwidth: 120, 24."""
    point = scaled(0.5, peak_ratio=10.0, bandwidth_ratio=2.0)
    table = judged([POINT, point]).tables[2]
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert [row[name] for name in ("us", "raw", "for its peak", "for its GB/s")] == pytest.approx([5, 12, 120, 24])


def test_every_table_says_that_its_data_are_synthetic():
    assert all("synthetic" in table.data for table in judged([POINT, scaled(0.5)]).tables)


def test_times_in_the_order_of_the_work_pass_and_others_fail():
    good = [scaled(density) for density in (1.0, 0.5, 0.25, 0.125)]
    assert judged(good).status == "passed"
    bad = [replace(point, cycles=good[-1 - at].cycles) for at, point in enumerate(good)]
    failed = judged(bad)
    assert failed.status == "failed"
    assert "-1.000" in failed.detail


@pytest.mark.parametrize(("num_heads", "rank"), [(2, 0.92), (NUM_HEADS["cuda"], 1.0)])
def test_an_h100_is_filled_or_its_times_could_not_follow_the_accelerators(num_heads, rank):
    """Times of the roofline itself, without noise: 2 heads fill 16 to 64 of 132 SMs, so time follows density x L."""
    h100 = next(gpu for gpu in load_gpus() if gpu.name == "H100")
    shapes = {(L, share): AttentionShape(num_heads, num_heads, L, L, 64, False)
              for L in LENGTHS["cuda"] for share in DENSITIES}  # fmt: skip
    times = [round(attention_ns(h100, "fused", shape, share)) for (_, share), shape in shapes.items()]
    assert spearman(times, [L * L * share for L, share in shapes]) == pytest.approx(rank, abs=0.01)


def test_a_length_that_the_design_cannot_hold_is_left_out_not_the_end(monkeypatch):
    """dsa-edge holds masks of 256 tokens and not of 4096; 4 heads count as twice the 2 that are simulated."""
    h100 = next(gpu for gpu in load_gpus() if gpu.name == "H100")

    def timed_kernels(L, device):
        cases = [Case(L, 4, 64, density, device, torch.float32) for density in (1.0, 0.5)]
        times = {"sdpa_math": 9.0, "flex_blocks": 5.0, "prediction": 1.0}
        return [
            trend.Timed(name, case, Timing((Trial((us * case.density,)),)))
            for case in cases
            for name, us in times.items()
        ]

    monkeypatch.setattr(trend, "timed_kernels", timed_kernels)
    monkeypatch.setattr(trend, "roofline_gpu", lambda *_: h100)
    arch = load_arch("dsa-edge")
    both = trend.check_trend(arch, "cpu", lengths=(256, 4096))
    assert {row[0] for row in both.check.tables[0].rows} == {256}
    assert "L 4096 does not fit the design: buffers.mask.bytes is" in both.check.detail
    assert {sample.L for sample in both.samples} == {256, 4096}
    assert (
        both.check.tables[2].rows[0][2] == 2 * simulated(arch, np.ones((2, 2, 2), dtype=np.bool_), 256).machine.cycles
    )
    neither = trend.check_trend(arch, "cpu", lengths=(4096,)).check
    assert (neither.status, "buffers.mask.bytes" in neither.detail) == ("skipped", True)


def test_a_point_has_the_fastest_dense_kernel_and_its_own_prediction(monkeypatch):
    """Two dense kernels of 9 and 7 us; predictions of 1 and 2 us; 6 heads are three times the two simulated."""
    h100 = next(gpu for gpu in load_gpus() if gpu.name == "H100")

    def timed_kernels(L, device):
        dense, sparse = (Case(L, 6, 64, density, device, torch.float32) for density in (1.0, 0.5))
        times = [("sdpa_math", dense, 9.0), ("sdpa_flash", dense, 7.0)]
        times += [("flex_blocks", dense, 6.0), ("prediction", dense, 1.0)]
        times += [("flex_blocks", sparse, 3.0), ("prediction", sparse, 2.0)]
        return [trend.Timed(name, case, Timing((Trial((us,)),))) for name, case, us in times]

    monkeypatch.setattr(trend, "timed_kernels", timed_kernels)
    monkeypatch.setattr(trend, "roofline_gpu", lambda *_: h100)
    arch = load_arch("dsa-edge", ["clock_ghz=2"])
    device, _, accelerator = trend.check_trend(arch, "cpu", lengths=(256,)).check.tables[:3]
    rows = [dict(zip(device.columns, row, strict=True)) for row in device.rows]
    assert [(row["dense"], row["sparse"], row["prediction"], row["sum"]) for row in rows] == [
        (7, 6, 1, 7),
        (7, 3, 2, 5),
    ]
    assert [row["dense / sum"] for row in rows] == pytest.approx([7 / 7, 7 / 5])
    every = simulated(arch, np.ones((2, 2, 2), dtype=np.bool_), 256).machine
    moved = every.counters["dram_read_bytes"] + every.counters["dram_write_bytes"]
    row = dict(zip(accelerator.columns, accelerator.rows[0], strict=True))
    assert (row["cycles"], row["us"]) == (3 * every.cycles, round(3 * every.cycles / 2000))
    assert row["DRAM MB"] == pytest.approx(3e-6 * moved)
    assert row["raw"] == pytest.approx(6 / (3 * every.cycles / 2000))


def test_one_wrong_order_is_enough_to_fail():
    """The roofline's order is right, the accelerator's is not, and the other way round."""
    good = [scaled(density) for density in (1.0, 0.5, 0.25, 0.125)]
    cycles = [replace(point, cycles=good[-1 - at].cycles) for at, point in enumerate(good)]
    roofline = [replace(p, sparse_roofline_us=good[-1 - at].sparse_roofline_us) for at, p in enumerate(good)]
    for points, name in ((cycles, "spearman_measured_accelerator"), (roofline, "spearman_measured_roofline")):
        check = judged(points)
        assert check.status == "failed"
        assert {rank: value < 0 for rank, value in check.figures.items() if rank.startswith("spearman")} == {
            "spearman_measured_accelerator": name == "spearman_measured_accelerator",
            "spearman_measured_roofline": name == "spearman_measured_roofline",
        }


def test_the_default_design_holds_every_length_of_the_trend():
    arch = load_arch("dsa-decoupled")
    for device, lengths in LENGTHS.items():
        L = max(lengths)
        assert simulated(arch, np.eye(-(-L // 128), dtype=np.bool_)[None], L).machine.cycles, device


def test_predicted_scores_are_finite_in_float16(monkeypatch):
    """Selecting among infinities is not the work that is timed."""
    seen = []
    topk = torch.Tensor.topk
    monkeypatch.setattr(torch.Tensor, "topk", lambda scores, *a, **k: seen.append(scores) or topk(scores, *a, **k))
    SPARSE["prediction"].build(Case(64, 16, 128, 0.5, "cpu", torch.float16))()
    assert seen[0].isfinite().all()
    assert float(seen[0].double().std()) > 0.1


def test_the_roofline_is_that_of_the_baselines_for_the_kept_blocks():
    """H100, 2 heads of 4096, d_head 64: 8.59 GFLOP on 64 of 132 SMs at 0.748 of 989.4 TFLOP/s, and 5 us of launch."""
    h100 = next(gpu for gpu in load_gpus() if gpu.name == "H100")
    dense_us = 4 * 64 * 2 * 4096**2 / (989.4e6 * 0.748 * 64 / 132)
    points = [replace(POINT, L=4096, block_density=share) for share in (1.0, 0.25)]
    found = beside_roofline(points, h100, load_arch("dsa-decoupled"))
    assert [point.sparse_roofline_us for point in found] == pytest.approx([dense_us + 5, dense_us / 4 + 5])
    assert [point.dense_roofline_us for point in found] == pytest.approx([dense_us + 5] * 2)
    assert found[0].peak_ratio == pytest.approx(989.4 / 1.088)
    assert found[0].bandwidth_ratio == pytest.approx(3350 / 51.2)


def test_a_reader_sees_the_figures_and_what_a_device_cannot_validate(validated, capsys):
    judgement = judged([scaled(density) for density in (1.0, 0.5, 0.25)], on_cpu=True)
    result = validated(judgement)
    print_validation(result, Console(width=100))
    for text in (capsys.readouterr().out, validation_page(result)):
        assert "What no CPU or GPU can validate is the accelerator" in " ".join(text.split())
        assert "No GPU was measured" in " ".join(text.split())
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


def test_more_blocks_take_more_cycles():
    arch = load_arch("dsa-decoupled")
    few, all_blocks = np.eye(2, dtype=np.bool_)[None], np.ones((1, 2, 2), dtype=np.bool_)
    most, least = (simulated(arch, blocks, 256).machine.cycles for blocks in (all_blocks, few))
    assert 1.5 < most / least < 2.5


def test_blocks_of_a_mask():
    keep = torch.zeros(1, 5, 6, dtype=torch.bool)
    keep[0, 4, 5] = True
    assert kept_blocks(keep, 4).tolist() == [[[False, False], [False, True]]]


def test_block_density_is_rounded_up_and_a_row_keeps_its_own_block():
    case = Case(512, 2, 64, 0.3, "cpu", torch.float32)
    assert case.block_density == 0.5
    assert case.blocks.diagonal(dim1=1, dim2=2).all()


def test_causal_flex_attention_passes_the_check_before_timing(monkeypatch):
    """Blocks on the diagonal are computed in part, and the last of 300 tokens is short; a wrong mask does not pass."""
    monkeypatch.undo()  # the compiler that conftest hides
    if no_compiler("cpu"):
        pytest.skip("no C++ compiler")
    case = Case(300, 2, 16, 0.5, "cpu", torch.float32, causal=True)
    flex = SPARSE["flex_blocks"]
    flex.checked(case)
    with pytest.raises(UnavailableError, match="wrong: rel"):
        Kernel(flex.build, lambda case, rows: case.sees(rows)).checked(case)


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


def test_a_causal_row_that_sees_no_key_of_its_group_is_zero_not_wrong():
    """At density 0.1 the first 8 rows share one key, which few of them see; a kernel that is right must pass."""
    case = Case(64, 1, 16, 0.1, "cpu", torch.float32, causal=True)
    kernel = SPARSE["vectors_1x8"]
    keep = kernel.kept(case, torch.arange(64))
    assert not keep[0].any()
    q, k, v = case.qkv
    weights = torch.softmax((case.scale * q @ k.mT).masked_fill(~keep, -torch.inf), -1).nan_to_num(0.0)
    Kernel(lambda _: lambda: weights @ v, kernel.kept).checked(case)


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
