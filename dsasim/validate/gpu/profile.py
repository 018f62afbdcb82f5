"""Measure a GPU profile: dense and sparse kernels over lengths, head sizes and densities."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from dsasim.baseline.gpu_profile import PROFILE_VERSION, GpuProfile, MeasuredRow
from dsasim.sim.engine import Progress
from dsasim.validate.gpu import machine
from dsasim.validate.gpu.case import Case
from dsasim.validate.gpu.kernels import DENSE, SPARSE, Call, UnavailableError
from dsasim.validate.gpu.timing import measure


@dataclass(frozen=True)
class Grid:
    """The shapes of a profile, and how many times are taken of each."""

    lengths: Sequence[int]
    head_sizes: Sequence[int]
    densities: Sequence[float]
    num_heads: int
    samples: int


GRIDS: Mapping[str, Grid] = {
    "cuda": Grid((512, 1024, 2048, 4096, 8192), (64, 128), (0.5, 0.25, 0.1, 0.05), 16, 50),
    "cpu": Grid((256, 512, 1024, 2048), (64,), (0.5, 0.25, 0.125), 2, 5),
}
DTYPES: Mapping[str, Literal["float16", "float32"]] = {"cuda": "float16", "cpu": "float32"}


def measure_profile(device: str, progress: Progress | None = None, grid: Grid | None = None) -> GpuProfile:
    """Measure every kernel that runs here on every shape of a grid (that of the device by default)."""
    grid = GRIDS[device] if grid is None else grid
    dtype = getattr(torch, DTYPES[device])
    unavailable: dict[str, str] = {}
    jobs = list(_jobs(grid, device, dtype))
    rows: list[MeasuredRow] = []
    for done, (name, build, case) in enumerate(jobs):
        if progress is not None:
            progress(done, len(jobs))
        if name in unavailable:
            continue
        try:
            rows.append(measured_row(name, build(case), case, grid.samples))
        except UnavailableError as error:
            unavailable[name] = str(error)
    return GpuProfile(
        profile_version=PROFILE_VERSION,
        device=machine.device_name(device),
        dtype=DTYPES[device],
        parallel_units=machine.parallel_units(device),
        matmul_tflops=machine.matmul_tflops(device, dtype),
        copy_gbps=machine.copy_gbps(device),
        launch_us=machine.launch_us(device),
        versions=machine.versions(),
        clocks=dict(machine.driver_and_clocks(device)),
        unavailable=unavailable,
        rows=tuple(rows),
    )


def measured_row(name: str, call: Call, case: Case, samples: int) -> MeasuredRow:
    """One row: the times of a call, and its energy where there is a counter."""
    timing = measure(call, case.device, samples)
    figures = {key: value for key, value in asdict(timing).items() if key != "samples"}
    density = 1.0 if name in DENSE else case.block_density if name == "flex_blocks" else case.density
    return MeasuredRow(
        kernel=name,
        L=case.L,
        num_heads=case.num_heads,
        d_head=case.d_head,
        causal=False,
        density=density,
        energy_uj=machine.energy_uj(call, case.device, timing.median_us),
        **figures,
    )


def _jobs(grid: Grid, device: str, dtype: Any) -> Iterator[tuple[str, Callable[[Case], Call], Case]]:
    for L in grid.lengths:
        for d_head in grid.head_sizes:
            for name, build in DENSE.items():
                yield name, build, Case(L, grid.num_heads, d_head, 1.0, device, dtype)
            for density in grid.densities:
                for name, build in SPARSE.items():
                    yield name, build, Case(L, grid.num_heads, d_head, density, device, dtype)
