"""Does time fall with density, and rise with length, on a real device as it does in the model?

For each length and density the same blocks are kept by compiled FlexAttention, by the roofline of `baseline.gpu` and by
the simulated accelerator (their mask, method `given`). The roofline has the device's measured ceilings and launch, and
the efficiency of dense attention at the shortest length alone, so both of its slopes are predicted. What can be
validated so is the functional result, the work, and the order and slope of times; the accelerator's cycles cannot: a
GPU has none of its parts. Operands and blocks are random, so every table here is of synthetic data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.api import RunResult, effective_arch, simulate
from dsasim.baseline.gpu import AttentionShape, attention_ns
from dsasim.baseline.gpu_profile import PROFILE_VERSION, GpuProfile, MeasuredRow, measured_gpu
from dsasim.baseline.gpu_table import Gpu
from dsasim.baseline.peak import peak_of
from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.sim.design import Progress
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.store import trace_in_memory
from dsasim.validate.check import Cell, Check, CheckTable, skipped
from dsasim.validate.gpu import hardware
from dsasim.validate.gpu.case import BLOCK, Case
from dsasim.validate.gpu.kernels import DENSE, SPARSE, UnavailableError, prediction_roofline_us
from dsasim.validate.gpu.samples import TimeSample, samples_of
from dsasim.validate.gpu.sensors import MAX_DRIFT_RATIO, open_sensors
from dsasim.validate.gpu.timing import Call, Timing, measure_in_turns
from dsasim.validate.gpu.trend_report import DATA, NAME, TITLE, TrendPoint, judged

SAMPLES = {"cpu": 2, "cuda": 50}
TRIALS = 3
NUM_HEADS = {"cpu": 2, "cuda": 16}
"""On a GPU enough to fill it at the shortest length: with 2 heads most SMs of an H100 idle, times follow density x L,
not x L^2, and even without noise the rank correlation with the accelerator would be 0.92."""
SIMULATED_HEADS = 2
"""Of a case, on the accelerator, which takes heads one after the other: cycles and bytes are multiplied up."""

D_HEAD = 64
LENGTHS = {"cpu": (512, 1024, 2048), "cuda": (1024, 2048, 3072, 4096)}
"""Those of a GPU fit the mask buffer of the default design: 8192 tokens do not."""
DENSITIES = (1.0, 0.5, 0.25, 0.125)
TIMES = ("kernel", "L", "density", "median us", "p20 us", "p80 us", "samples", "retaken", "SM MHz", "moved")


@dataclass(frozen=True)
class Timed:
    """A kernel on a case, timed."""

    kernel: str
    case: Case
    timing: Timing


@dataclass(frozen=True)
class Trend:
    """The check of a trend, and every time that was taken for it."""

    check: Check
    samples: tuple[TimeSample, ...] = ()


def check_trend(
    arch: ArchConfig, device: str, progress: Progress | None = None, lengths: Sequence[int] | None = None
) -> Trend:
    """Measure, simulate and compare: Spearman, MAPE, and the length from which sparse attention pays."""
    lengths = lengths or LENGTHS[device]
    timed = list[Timed]()
    try:
        for done, L in enumerate(lengths):
            if progress is not None:
                progress(done, len(lengths))
            timed += timed_kernels(L, device)
    except UnavailableError as reason:
        return Trend(skipped(NAME, TITLE, str(reason)))
    samples = tuple(sample for each in timed for sample in samples_of(each.kernel, each.case, each.timing))
    unsteady = [each for each in timed if not each.timing.steady]
    if unsteady:
        moved = max(each.timing.drift_ratio for each in unsteady)
        words = f"{len(unsteady)} of {len(timed)} times rejected: the SM clock moved by {moved:.1%}, gate"
        return Trend(skipped(NAME, TITLE, f"{words} {MAX_DRIFT_RATIO:.0%}"), samples)
    left_out = dict[int, str]()
    points = list(_points(arch, timed, left_out))
    if not points:
        return Trend(skipped(NAME, TITLE, "; ".join(left_out.values())), samples)
    points = beside_roofline(points, roofline_gpu(device, points[0]), arch)
    return Trend(judged(points, (_times_table(timed),), left_out=left_out, on_cpu=device == "cpu"), samples)


def timed_kernels(L: int, device: str) -> list[Timed]:
    """Dense attention by every backend, and FlexAttention and the prediction at every density, in turns."""
    dtype = torch.float16 if device == "cuda" else torch.float32
    cases = [Case(L, NUM_HEADS[device], D_HEAD, density, device, dtype) for density in DENSITIES]
    calls = dict[str, tuple[str, Case, Call]]()
    for name, kernel in DENSE.items():
        try:
            calls[name] = name, cases[0], kernel.checked(cases[0])
        except UnavailableError:
            continue
    for case in cases:
        for name in ("flex_blocks", "prediction"):
            calls[f"{name} {case.density}"] = name, case, SPARSE[name].checked(case)
    only_calls = {key: call for key, (_, _, call) in calls.items()}
    timings = measure_in_turns(only_calls, device, SAMPLES[device], TRIALS, open_sensors(device))
    return [Timed(name, case, timings[key]) for key, (name, case, _) in calls.items()]


def _points(arch: ArchConfig, timed: Sequence[Timed], left_out: dict[int, str]) -> Iterator[TrendPoint]:
    """A point of each length and density, with the accelerator's run of its blocks.

    Lengths that the design's buffers do not hold go to `left_out`, with the reason.
    """
    for each in timed:
        case = each.case
        if each.kernel != "flex_blocks" or case.L in left_out:
            continue
        of_length = [other for other in timed if other.case.L == case.L]
        try:
            run = simulated(arch, case.blocks[:SIMULATED_HEADS].cpu().numpy(), case.L)
        except ConfigError as reason:
            left_out[case.L] = f"L {case.L} does not fit the design: {reason}"
            continue
        times = case.num_heads // SIMULATED_HEADS
        yield TrendPoint(
            L=case.L,
            density=case.density,
            block_density=case.block_density,
            num_blocks=int(case.blocks.sum()),
            num_heads=case.num_heads,
            dense_us=min(other.timing.p20_us for other in of_length if other.kernel in DENSE),
            sparse_us=each.timing.p20_us,
            prediction_us=next(
                other.timing.p20_us for other in of_length if other.kernel == "prediction" and other.case is case
            ),
            cycles=times * run.machine.cycles,
            clock_ghz=float(arch.clock_ghz),
            utilisation=run.machine.units["pe_array"].utilisation_ratio,
            dram_bytes=times * sum(run.machine.counters[name] for name in ("dram_read_bytes", "dram_write_bytes")),
        )


def roofline_gpu(device: str, dense: TrendPoint) -> Gpu:
    """The device as a GPU of the roofline: its measured ceilings, and the efficiency of one dense measurement."""
    time = dense.dense_us
    row = MeasuredRow(
        kernel="sdpa_flash", L=dense.L, num_heads=dense.num_heads, d_head=D_HEAD, causal=False, density=1.0,
        median_us=time, p20_us=time, p80_us=time,
    )  # fmt: skip
    dtype: Literal["float16", "float32"] = "float16" if device == "cuda" else "float32"
    profile = GpuProfile(
        profile_version=PROFILE_VERSION,
        device=hardware.device_name(device),
        dtype=dtype,
        parallel_units=hardware.parallel_units(device),
        matmul_tflops=hardware.matmul_tflops(device, getattr(torch, dtype)),
        copy_gbps=hardware.copy_gbps(device),
        launch_us=hardware.launch_us(device),
        versions={},
        clocks={},
        unavailable={},
        rows=(row,),
    )
    return measured_gpu(profile)


def beside_roofline(points: Sequence[TrendPoint], gpu: Gpu, arch: ArchConfig) -> list[TrendPoint]:
    """The points with the roofline's times, dense, for the blocks that they keep, and of the prediction."""
    peak = peak_of(arch)
    shapes = [AttentionShape(p.num_heads, p.num_heads, p.L, p.L, D_HEAD, causal=False) for p in points]
    return [
        replace(
            point,
            dense_roofline_us=attention_ns(gpu, "fused", shape) / 1e3,
            sparse_roofline_us=attention_ns(gpu, "fused", shape, point.block_density) / 1e3,
            prediction_roofline_us=prediction_roofline_us(gpu, point.L, point.num_heads, D_HEAD),
            peak_ratio=gpu.peak_fp16_tflops.value / peak.tflops,
            bandwidth_ratio=gpu.memory_gbps.value / peak.memory_gbps,
        )
        for point, shape in zip(points, shapes, strict=True)
    ]


def simulated(arch: ArchConfig, blocks: NDArray[np.bool_], L: int) -> RunResult:
    """The design on a mask of whole blocks, bool [heads, L / BLOCK, L / BLOCK]."""
    keep = blocks.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)[:, :L, :L]
    layer = MaskArrays(0, np.packbits(keep, axis=-1), L, D_HEAD, len(keep), False)
    trace = trace_in_memory("blocks", [layer], kind="synthetic")
    return simulate(effective_arch(arch, trace), trace, quality=False, baselines=False)


def _times_table(timed: Sequence[Timed]) -> CheckTable:
    """Every timing with its spread and the clocks beside it."""
    return CheckTable("times", TIMES, tuple(_times(each.kernel, each.case, each.timing) for each in timed), True, DATA)


def _times(kernel: str, case: Case, timing: Timing) -> tuple[Cell, ...]:
    p20, median, p80 = timing.quantiles_us
    count = sum(len(trial.times_us) for trial in timing.trials)
    clocks = [reading.sm_mhz for reading in timing.readings]
    clock = f"{min(clocks)}-{max(clocks)}" if clocks else ""
    moved = timing.drift_ratio if clocks else ""
    return kernel, case.L, case.density, median, p20, p80, count, timing.rejected, clock, moved
