"""Does time fall with density, and rise with length, on a real device as it does in the model?

For each length and density the same blocks are kept by compiled FlexAttention, by the GPU roofline (dense time x share
of blocks) and by the simulated accelerator (their mask, method `given`). What can be validated so is the functional
result, the work, and the order and slope of times; the accelerator's cycles cannot: a GPU has none of its parts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.api import effective_arch, simulate
from dsasim.config.schema import ArchConfig
from dsasim.sim.engine import Progress
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.store import trace_in_memory
from dsasim.validate.check import Check, Table, skipped
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
COLUMNS = ("L", "density", "blocks kept", "dense us", "sparse us", "prediction us", "roofline us", "accelerator cycles")
SAMPLES = {"cpu": 3, "cuda": 50}
NUM_HEADS = 2
D_HEAD = 64
LENGTHS = {"cpu": (512, 1024, 2048), "cuda": (1024, 2048, 4096, 8192)}
DENSITIES = (1.0, 0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Point:
    """One length and density; times in microseconds, the quiet fifth of the samples (p20)."""

    L: int
    density: float
    block_density: float
    dense_us: float
    sparse_us: float
    prediction_us: float
    roofline_us: float
    cycles: int


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
    return judged(points)


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
        roofline_us=dense_us * case.block_density,
        cycles=simulated_cycles(arch, case.blocks.cpu().numpy(), case.L),
    )


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
    rows = tuple(
        (
            p.L,
            p.density,
            p.block_density,
            *map(round, (p.dense_us, p.sparse_us, p.prediction_us, p.roofline_us)),
            p.cycles,
        )
        for p in points
    )
    return Check(
        NAME,
        TITLE,
        "passed" if worst >= GATE else "failed",
        f"least rank correlation {worst:.3f}, at least {GATE:g}. {LIMITS}",
        gate=GATE,
        figures={
            **ranks,
            "mape_measured_roofline": mape(sparse, [point.roofline_us for point in points]),
            "break_even_length": break_even(points),
        },
        tables=(Table("Block-sparse attention, measured and modelled", COLUMNS, rows),),
    )


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Rank correlation, ties by their mean rank. Worked example: (1, 2, 3) and (10, 30, 20) have 0.5."""
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def mape(measured: Sequence[float], modelled: Sequence[float]) -> float:
    """Mean of |modelled / measured - 1|. Worked example: 2 for 1 and 1 for 2 are off by 1 and 0.5: 0.75."""
    return float(np.mean(np.abs(np.asarray(modelled) / np.asarray(measured) - 1)))


def break_even(points: Sequence[Point]) -> int | None:
    """The shortest length at which prediction and sparse attention beat dense attention at some density."""
    return min((p.L for p in points if p.sparse_us + p.prediction_us < p.dense_us), default=None)


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
