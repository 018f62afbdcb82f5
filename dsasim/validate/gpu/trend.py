"""Does time fall with density, and rise with length, on a real device as it does in the model?

For each length and density the same blocks are kept by compiled FlexAttention, by the roofline of `baseline.gpu` and by
the simulated accelerator (their mask, method `given`). The roofline has the device's measured ceilings and launch, and
the efficiency of dense attention at the shortest length alone, so both of its slopes are predicted. What can be
validated so is the functional result, the work, and the order and slope of times; the accelerator's cycles cannot: a
GPU has none of its parts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.api import effective_arch, simulate
from dsasim.baseline.gpu import AttentionShape, attention_ns
from dsasim.baseline.gpu_profile import PROFILE_VERSION, GpuProfile, MeasuredRow, measured_gpu
from dsasim.baseline.gpu_table import Gpu
from dsasim.config.schema import ArchConfig
from dsasim.sim.engine import Progress
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.store import trace_in_memory
from dsasim.validate.check import Check, Table, skipped
from dsasim.validate.gpu import machine
from dsasim.validate.gpu.case import BLOCK, Case
from dsasim.validate.gpu.kernels import DENSE, flex_blocks, prediction
from dsasim.validate.gpu.kernels import UnavailableError as Unavailable
from dsasim.validate.gpu.timing import measure

NAME = "trend"
TITLE = "Measured time falls with density and rises with length as the model says"
GATE = 0.9
"""Least rank correlation of measured and modelled times: both follow the work, and noise must not undo it."""

LIMITS = (
    "The device validates results, work and trend. It does not validate cycles of the accelerator: those rest on the"
    " cycle-stepped twin, the RTL and other simulators (README)."
)
COLUMNS = ("L", "density", "blocks kept", "dense us", "sparse us", "+ prediction us", "roofline us", "cycles")
SAMPLES = {"cpu": 3, "cuda": 50}
NUM_HEADS = 2
D_HEAD = 64
LENGTHS = {"cpu": (512, 1024, 2048), "cuda": (1024, 2048, 4096, 8192)}
DENSITIES = (1.0, 0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Point:
    """One length and density; times in us, the quiet fifth of the samples (p20), and the accelerator's cycles."""

    L: int
    density: float
    block_density: float
    dense_us: float
    sparse_us: float
    prediction_us: float
    cycles: int
    roofline_us: float = 0.0

    @property
    def whole_us(self) -> float:
        """Prediction and sparse attention: what is compared with dense attention."""
        return self.sparse_us + self.prediction_us


def check_trend(
    arch: ArchConfig, device: str, progress: Progress | None = None, lengths: Sequence[int] | None = None
) -> Check:
    """Measure, simulate and compare: Spearman, MAPE, and the length from which sparse attention pays."""
    dtype = torch.float16 if device == "cuda" else torch.float32
    cases = [
        Case(L, NUM_HEADS, D_HEAD, density, device, dtype) for L in lengths or LENGTHS[device] for density in DENSITIES
    ]
    points = []
    try:
        for done, case in enumerate(cases):
            if progress is not None:
                progress(done, len(cases))
            points.append(measured_point(arch, case))
    except Unavailable as reason:
        return skipped(NAME, TITLE, str(reason))
    return judged(beside_roofline(points, roofline_gpu(device, points[0])))


def measured_point(arch: ArchConfig, case: Case) -> Point:
    """Time one case on the device, and simulate it."""
    samples = SAMPLES[case.device]
    dense_us = min(measure(call, case.device, samples).p20_us for call in _dense_calls(case))
    return Point(
        L=case.L,
        density=case.density,
        block_density=case.block_density,
        dense_us=dense_us,
        sparse_us=measure(flex_blocks(case), case.device, samples).p20_us,
        prediction_us=measure(prediction(case), case.device, samples).p20_us,
        cycles=simulated_cycles(arch, case.blocks.cpu().numpy(), case.L),
    )


def roofline_gpu(device: str, dense: Point) -> Gpu:
    """The device as a GPU of the roofline: its measured ceilings, and the efficiency of one dense measurement."""
    time = dense.dense_us
    row = MeasuredRow(
        kernel="sdpa_flash", L=dense.L, num_heads=NUM_HEADS, d_head=D_HEAD, causal=False, density=1.0,
        median_us=time, p20_us=time, p80_us=time,
    )  # fmt: skip
    dtype: Literal["float16", "float32"] = "float16" if device == "cuda" else "float32"
    profile = GpuProfile(
        profile_version=PROFILE_VERSION,
        device=machine.device_name(device),
        dtype=dtype,
        parallel_units=machine.parallel_units(device),
        matmul_tflops=machine.matmul_tflops(device, getattr(torch, dtype)),
        copy_gbps=machine.copy_gbps(device),
        launch_us=machine.launch_us(device),
        versions={},
        clocks={},
        unavailable={},
        rows=(row,),
    )
    return measured_gpu(profile)


def beside_roofline(points: Sequence[Point], gpu: Gpu) -> list[Point]:
    """The points with the roofline's time for the blocks that they keep."""
    shapes = (AttentionShape(NUM_HEADS, NUM_HEADS, point.L, point.L, D_HEAD, causal=False) for point in points)
    return [
        replace(point, roofline_us=attention_ns(gpu, "fused", shape, point.block_density) / 1e3)
        for point, shape in zip(points, shapes, strict=True)
    ]


def simulated_cycles(arch: ArchConfig, blocks: NDArray[np.bool_], L: int) -> int:
    """Cycles of the design on a mask of whole blocks, bool [heads, L / BLOCK, L / BLOCK]."""
    keep = blocks.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)[:, :L, :L]
    layer = MaskArrays(0, np.packbits(keep, axis=-1), L, D_HEAD, len(keep), False)
    trace = trace_in_memory("blocks", [layer], kind="synthetic")
    return simulate(effective_arch(arch, trace), trace, quality=False, baselines=False).machine.cycles


def judged(points: Sequence[Point]) -> Check:
    """The check of measured points: fails where the order of measured and of modelled times differs too much."""
    sparse = [point.sparse_us for point in points]
    ranks = {
        "spearman_measured_roofline": spearman(sparse, [point.roofline_us for point in points]),
        "spearman_measured_accelerator": spearman(sparse, [point.cycles for point in points]),
    }
    worst = min(ranks.values())
    error, length = mape(sparse, [point.roofline_us for point in points]), break_even(points)
    said = (
        *((name.replace("_", " "), rank) for name, rank in ranks.items()),
        ("mean |roofline / measured - 1|", error),
        ("break-even length, prediction included", "none of these" if length is None else length),
    )
    rows = tuple(
        (
            p.L,
            p.density,
            p.block_density,
            *map(round, (p.dense_us, p.sparse_us, p.whole_us, p.roofline_us)),
            p.cycles,
        )
        for p in points
    )
    return Check(
        NAME,
        TITLE,
        "passed" if all(rank >= GATE for rank in ranks.values()) else "failed",
        f"least rank correlation {worst:.3f}, at least {GATE:g}. {LIMITS}",
        gate=GATE,
        figures={
            **ranks,
            "mape_measured_roofline": error,
            "break_even_length": length,
        },
        tables=(
            Table("Block-sparse attention, measured and modelled", COLUMNS, rows),
            Table("What the times say", ("figure", "value"), said),
        ),
    )


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Rank correlation, ties by their mean rank. Worked example: (1, 2, 3) and (10, 30, 20) have 0.5."""
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def mape(measured: Sequence[float], modelled: Sequence[float]) -> float:
    """Mean of |modelled / measured - 1|. Worked example: 2 for 1 and 1 for 2 are off by 1 and 0.5: 0.75."""
    return float(np.mean(np.abs(np.asarray(modelled) / np.asarray(measured) - 1)))


def break_even(points: Sequence[Point]) -> int | None:
    """The shortest length at which prediction and sparse attention beat dense attention at some density."""
    return min((p.L for p in points if p.whole_us < p.dense_us), default=None)


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    at = 0
    for _, equal in groupby(order, key=lambda index: values[index]):
        members = list(equal)
        ranks[members] = at + (len(members) - 1) / 2
        at += len(members)
    return ranks


def _dense_calls(case: Case) -> Iterator[Any]:
    for build in DENSE.values():
        try:
            yield build(case)
        except Unavailable:
            continue
