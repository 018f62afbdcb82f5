"""Dense attention on GPUs: the roofline's worked examples, and the ratios beside a run."""

from dataclasses import replace

import numpy as np
import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.baseline.gpu import (
    AttentionShape,
    attention_batches,
    attention_bytes,
    attention_ns,
    batch_ns,
    gpu_baselines,
    occupancy,
)
from dsasim.baseline.gpu_table import KERNELS, Efficiency, Gpu, efficiency, load_gpus
from dsasim.silicon.sourced import SourcedNumber
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.store import trace_in_memory

SHAPE = AttentionShape(num_heads=2, num_kv_heads=2, L_q=1024, L_k=1024, d_head=64, causal=False)


def reached(L: int | None, ratio: float, causal: bool | None = False, d_head: int | None = 64) -> Efficiency:
    return Efficiency(L, d_head, causal, ratio, "here", "B")


@pytest.fixture
def gpu() -> Gpu:
    """16 SMs of 1 TFLOP/s in all, 1000 GB/s, 5 us a launch."""
    return Gpu(
        name="small",
        device_names=(),
        sms=16,
        peak_fp16_tflops=SourcedNumber(1.0, "here", "B"),
        memory_gbps=SourcedNumber(1000.0, "here", "B"),
        launch_ns=5000.0,
        causal_factor=0.8,
        efficiencies={kernel: (reached(1024, 0.5),) for kernel in KERNELS},
    )


def test_time_worked_example(gpu: Gpu) -> None:
    """0.537 GFLOP at half of 1 TFLOP/s are 1.074 ms, with the launch 1.079 ms."""
    assert attention_ns(gpu, "fused", SHAPE) == pytest.approx(4 * 64 * 2 * 1024**2 / 500 + 5000)


def test_scores_through_memory_bound_the_unfused_kernels(gpu: Gpu) -> None:
    """4 passes over 2 x 1024 x 1024 scores of 2 bytes and 8 matrices of 1024 x 64: 17.8 MB, at 1 GB/s 17.8 ms."""
    slow = replace(gpu, memory_gbps=SourcedNumber(1.0, "here", "B"))
    moved = 2 * (4 * 2 * 1024**2 + 8 * 1024 * 64)
    assert attention_bytes("unfused", SHAPE, 2) == moved
    assert attention_ns(slow, "unfused", SHAPE) == moved + 3 * 5000


def test_keys_of_a_group_are_read_once() -> None:
    assert attention_bytes("fused", replace(SHAPE, num_kv_heads=1), 2) == 2 * (4 + 2) * 1024 * 64


def test_numbers_of_four_bytes_are_twice_as_much_traffic(gpu: Gpu) -> None:
    slow = replace(gpu, memory_gbps=SourcedNumber(1.0, "here", "B"))
    half, single = (attention_ns(replace(slow, element_bytes=size), "unfused", SHAPE) - 3 * 5000 for size in (2, 4))
    assert single == pytest.approx(2 * half)


def test_only_the_fused_kernel_leaves_out_what_lies_beyond_the_diagonal(gpu: Gpu) -> None:
    causal = replace(SHAPE, causal=True)
    half = (1024 * 1025 // 2) / 1024**2
    compute = 4 * 64 * 2 * 1024**2 / 500
    assert attention_ns(gpu, "fused", causal) == pytest.approx(half / 0.8 * compute + 5000)
    assert attention_ns(gpu, "unfused", causal) == attention_ns(gpu, "unfused", SHAPE)


def test_positions_of_a_causal_layer() -> None:
    """The last of 3 rows sees all 5 keys: 3 + 4 + 5; with more rows than keys the first see none."""
    assert replace(SHAPE, L_q=3, L_k=5, causal=True).positions == 12
    assert replace(SHAPE, L_q=5, L_k=3, causal=True).positions == 6
    assert replace(SHAPE, L_q=3, L_k=5).positions == 15


def test_occupancy_worked_example() -> None:
    twelve = replace(SHAPE, num_heads=12, L_q=128, L_k=128)
    assert occupancy(108, "fused", twelve) == pytest.approx(12 / 108)
    assert occupancy(108, "fused", replace(twelve, num_heads=108)) == 1
    assert occupancy(108, "fused", replace(twelve, num_heads=109)) == pytest.approx(109 / 216)
    assert occupancy(108, "fused", replace(twelve, L_q=129)) == pytest.approx(24 / 108)
    assert occupancy(108, "unfused", replace(twelve, L_k=129)) == pytest.approx(24 / 108)


def test_efficiency_between_and_beyond_the_measured_lengths(gpu: Gpu) -> None:
    measured = replace(gpu, efficiencies={"fused": (reached(512, 0.4), reached(2048, 0.6))})
    at = {L: efficiency(measured, "fused", L, 64, causal=False).ratio for L in (128, 512, 1024, 2048, 4096)}
    assert at == pytest.approx({128: 0.4, 512: 0.4, 1024: 0.5, 2048: 0.6, 4096: 0.6})


def test_efficiency_takes_the_nearest_head_size_and_causal_measurements(gpu: Gpu) -> None:
    rows = (reached(512, 0.4, d_head=32), reached(512, 0.6, d_head=128), reached(512, 0.3, causal=True, d_head=128))
    measured = replace(gpu, efficiencies={"fused": rows})
    assert efficiency(measured, "fused", 512, 64, causal=False).ratio == 0.4
    assert efficiency(measured, "fused", 512, 100, causal=False).ratio == 0.6
    assert efficiency(measured, "fused", 512, 32, causal=True).ratio == 0.3


def test_a_run_has_every_gpu_with_both_kernels() -> None:
    """Ratios are times over ours; normalised ones are those times the ratio of peaks and of bandwidths."""
    arch, trace = load_arch("dsa-decoupled"), load_trace("smollm2-l512")
    result = simulate(arch, trace, layers=[13], heads=[0, 3])
    entries = result.to_json()["baseline"]["gpu"]
    assert [(entry["gpu"], entry["kernel"]) for entry in entries] == [(g.name, k) for g in load_gpus() for k in KERNELS]
    ours_ns = result.machine.cycles / float(arch.clock_ghz)
    for entry, known in zip(entries[::2], load_gpus(), strict=True):
        assert entry["speedup_ratio"] == pytest.approx(entry["time_ns"] / ours_ns)
        peak = known.peak_fp16_tflops.value / 1.088  # 256 MACs of 16 bits, 4608 of 4 bits
        assert entry["peak_normalised_ratio"] == pytest.approx(entry["speedup_ratio"] * peak)
        assert entry["basis"] == "roofline"
        assert entry["launch_ns"] == 5000
        assert entry["time_ns"] > entry["launch_ns"]
    v100 = {name: entries[0][f"{name}_ratio"] / entries[0]["speedup_ratio"] for name in ("bandwidth_normalised",)}
    assert v100["bandwidth_normalised"] == pytest.approx(900 / 51.2)


def test_what_a_run_asks_of_a_gpu() -> None:
    """Two query heads of one kv head, and one of another, in one layer of a causal model."""
    trace = load_trace("smollm2-l512")
    ((shape,),) = attention_batches(trace, {13: [0, 1, 3]})
    assert shape == AttentionShape(num_heads=3, num_kv_heads=2, L_q=512, L_k=512, d_head=64, causal=True)
    assert gpu_baselines(load_arch("dsa-decoupled"), trace, {13: [0]}, 1000, ()) == ()


def test_a_batch_is_one_call_a_layer_and_fills_what_one_sequence_left_idle(gpu: Gpu) -> None:
    """On 32 SMs of 2 TFLOP/s the 16 blocks of a sequence take as long as on 16 of 1, and two sequences no longer."""
    twice = replace(gpu, sms=32, peak_fp16_tflops=replace(gpu.peak_fp16_tflops, value=2.0))
    one = attention_ns(gpu, "fused", SHAPE)
    assert attention_ns(twice, "fused", SHAPE) == pytest.approx(one)
    assert batch_ns(twice, "fused", (SHAPE, SHAPE)) == pytest.approx(one)
    assert occupancy(32, "fused", SHAPE, SHAPE) == 2 * occupancy(32, "fused", SHAPE) == 1
    assert batch_ns(gpu, "fused", (SHAPE, SHAPE)) == pytest.approx(2 * one - 5000)  # one launch


def test_sequences_of_a_batch_may_differ_in_length(gpu: Gpu) -> None:
    layers = [
        MaskArrays(0, np.full((2, length, length // 8), 255, np.uint8), length, 64, 1, False, sequence)
        for sequence, length in enumerate((1024, 512))
    ]
    trace = trace_in_memory("batch", layers, kind="mask")
    ((long, short),) = attention_batches(trace, {0: [0]})
    assert (long.L_q, short.L_q, long.num_heads, short.num_kv_heads) == (1024, 512, 1, 1)
    only_fused = replace(gpu, efficiencies={"fused": gpu.efficiencies["fused"]})
    (found,) = gpu_baselines(load_arch("dsa-decoupled"), trace, {0: [0]}, 1000, (only_fused,))
    assert found.launch_ns == 5000
    assert found.time_ns == pytest.approx(batch_ns(gpu, "fused", (long, short)))


def test_two_layers_are_two_calls_and_both_must_have_been_measured(gpu: Gpu) -> None:
    """The efficiency is of 1024 keys: with a layer of 8 beside it the time is extrapolated, and launches are two."""
    layers = [
        MaskArrays(number, np.full((1, length, length // 8), 255, np.uint8), length, 64, 1, False)
        for number, length in enumerate((1024, 8))
    ]
    trace, arch = trace_in_memory("two lengths", layers, kind="mask"), load_arch("dsa-decoupled", ["clock_ghz=2"])
    alone = gpu_baselines(arch, trace, {0: [0]}, 1000, [gpu])
    both = gpu_baselines(arch, trace, {0: [0], 1: [0]}, 1000, [gpu])
    assert [entry.same_shape for entry in alone] == [True, True]
    assert [entry.same_shape for entry in both] == [False, False]
    assert [entry.launch_ns for entry in alone] == [5000, 3 * 5000]
    assert [entry.launch_ns for entry in both] == [2 * 5000, 2 * 3 * 5000]
    assert [entry.speedup_ratio for entry in both] == [entry.time_ns / 500 for entry in both]  # 1000 cycles at 2 GHz


def test_every_efficiency_says_where_it_is_from() -> None:
    """Sources are named in the table; what is from memory or of another GPU has trust D: assumed."""
    for known in load_gpus():
        for rows in known.efficiencies.values():
            assert rows
            assert all(0 < row.ratio < 1.1 and row.source and row.trust in "ABCD" for row in rows)
    orin = load_gpus()[-1]
    assert orin.assumed


def test_an_efficiency_of_another_shape_says_so(gpu: Gpu) -> None:
    """Measured at 512 and 2048, head size 64, not causal; one whose source names no shape fits none."""
    measured = replace(gpu, efficiencies={"fused": (reached(512, 0.4), reached(2048, 0.6))})
    of = {
        (L, d_head, causal): efficiency(measured, "fused", L, d_head, causal).same_shape
        for L, d_head, causal in [(512, 64, False), (1024, 64, False), (511, 64, False), (2049, 64, False)]
        + [(1024, 128, False), (1024, 64, True)]
    }
    assert list(of.values()) == [True, True, False, False, False, False]
    best = replace(gpu, efficiencies={"fused": (reached(None, 0.7, causal=None, d_head=None),)})
    assert not efficiency(best, "fused", 1024, 64, causal=False).same_shape


def test_what_is_assumed_says_so() -> None:
    """The A100's fused efficiency was measured, its unfused one is another GPU's; all of the Orin is from memory."""
    result = simulate(load_arch("dsa-decoupled"), load_trace("smollm2-l512"), layers=[13], heads=[0], quality=False)
    assert result.baseline is not None
    assumed = {(entry.gpu, entry.kernel): entry.assumed for entry in result.baseline.gpu}
    assert not assumed["A100", "fused"]
    assert assumed["A100", "unfused"]
    assert assumed["Jetson Orin", "fused"]
