"""Measure a GPU profile: dense and sparse kernels over lengths, head sizes, causal or not, and densities.

A profile grows shape by shape, so a machine that is lent for minutes can be given the same file again: rows that are
there are not measured twice. The longest shapes come first, so that none later takes longer than those seen.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import torch

from dsasim.baseline.gpu_profile import PROFILE_VERSION, GpuProfile, MeasuredRow
from dsasim.errors import ConfigError
from dsasim.sim.design import Progress
from dsasim.validate.gpu import hardware
from dsasim.validate.gpu.case import Case
from dsasim.validate.gpu.energy import Energy, energy_of, idle_power_mw
from dsasim.validate.gpu.kernels import DENSE, SPARSE, Kernel, UnavailableError
from dsasim.validate.gpu.samples import TimeSample, samples_of
from dsasim.validate.gpu.sensors import Nvml, open_sensors
from dsasim.validate.gpu.timing import Call, Timing, measure_in_turns


@dataclass(frozen=True)
class Grid:
    """The shapes of a profile, and how many times are taken of each: `samples` in each of `trials`.

    Energy takes 5 s a row, so only rows of `energy_lengths`, not causal, dense or of `energy_density` have it.
    """

    lengths: Sequence[int]
    head_sizes: Sequence[int]
    densities: Sequence[float]
    num_heads: int
    samples: int
    trials: int = 3
    energy_lengths: Sequence[int] = ()
    energy_density: float = 1.0


GRIDS: Mapping[str, Grid] = {
    "cuda": Grid((512, 1024, 2048, 4096, 8192), (64, 128), (0.5, 0.25, 0.1, 0.05), 16, 50, 3, (2048, 8192), 0.1),
    "cpu": Grid((256, 512, 1024, 2048), (64,), (0.5, 0.25, 0.125), 2, 2, 3),
}
DTYPES: Mapping[str, Literal["float16", "float32"]] = {"cuda": "float16", "cpu": "float32"}

REJECTED = "rejected"

RowKey = tuple[str, int, int, bool, float]
"""Kernel, L, d_head, causal, density asked for: what a row is of."""


@dataclass(frozen=True)
class CallShape:
    """What calls that take turns have in common."""

    L: int
    d_head: int
    causal: bool


@dataclass(frozen=True)
class Measured:
    """A profile, the raw samples of the rows that were new, and how many of the grid's rows it lacks."""

    profile: GpuProfile
    samples: tuple[TimeSample, ...]
    missing: int


def measure_profile(
    device: str,
    progress: Progress | None = None,
    grid: Grid | None = None,
    known: GpuProfile | None = None,
    minutes: float | None = None,
    save: Callable[[GpuProfile], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Measure every kernel that runs here on every shape of a grid (that of the device by default).

    `known` is what was measured before; `save` is handed the profile after every shape. With `minutes`, no shape but
    the first is begun that would end later, if it took as long as the longest so far.
    ConfigError: `known` is of another device or other versions.
    """
    grid, sensors, began = GRIDS[device] if grid is None else grid, open_sensors(device), clock()
    profile = empty_profile(device, sensors) if known is None else resumed(known, identity(device, sensors))
    idle_mw = idle_power_mw(sensors) if sensors is not None and grid.energy_lengths else 0.0
    samples, longest = list[TimeSample](), 0.0
    shapes = list(_shapes(grid))
    for done, shape in enumerate(shapes):
        if progress is not None:
            progress(done, len(shapes))
        missing = {key: kernel for key, kernel in _keys(grid, shape) if not _settled(key, profile)}
        if not missing:
            continue
        if minutes is not None and longest and clock() - began + longest > 60 * minutes:
            break
        started = clock()
        rows, unavailable, taken = _measure_shape(grid, shape, missing, device, sensors, idle_mw)
        samples += taken
        profile = profile.model_copy(
            update={"rows": (*profile.rows, *rows), "unavailable": _without(profile.unavailable, missing) | unavailable}
        )
        save(profile)
        longest = max(longest, clock() - started)
    return Measured(profile, tuple(samples), _missing(grid, profile))


def identity(device: str, sensors: Nvml | None) -> dict[str, Any]:
    """What must be alike for rows to stand in one profile."""
    return {
        "device": hardware.device_name(device),
        "dtype": DTYPES[device],
        "driver": None if sensors is None else sensors.driver(),
        "versions": hardware.versions(),
    }


def empty_profile(device: str, sensors: Nvml | None) -> GpuProfile:
    """What the device is and reaches, without rows."""
    dtype = getattr(torch, DTYPES[device])
    return GpuProfile(
        profile_version=PROFILE_VERSION,
        device=hardware.device_name(device),
        dtype=DTYPES[device],
        parallel_units=hardware.parallel_units(device),
        matmul_tflops=hardware.matmul_tflops(device, dtype),
        copy_gbps=hardware.copy_gbps(device),
        launch_us=hardware.launch_us(device),
        versions=hardware.versions(),
        clocks=hardware.driver_and_clocks(sensors),
        unavailable={},
        rows=(),
    )


def resumed(known: GpuProfile, here: Mapping[str, Any]) -> GpuProfile:
    """The known profile, if it is of this device, driver and these versions (`identity`): what it says is kept.

    ConfigError names the first thing that is another.
    """
    theirs_of = {
        "device": known.device,
        "dtype": known.dtype,
        "driver": known.clocks.get("driver"),
        "versions": known.versions,
    }
    for name, theirs in theirs_of.items():
        if theirs != (ours := here[name]):
            raise ConfigError(f"the profile there is of another {name}: {theirs}, here {ours}; write to another file")
    return known


def _measure_shape(
    grid: Grid, shape: CallShape, wanted: Mapping[RowKey, Kernel], device: str, sensors: Nvml | None, idle_mw: float
) -> tuple[list[MeasuredRow], dict[str, str], list[TimeSample]]:
    """Rows of one shape, why others are missing, and all samples; the calls take turns."""
    calls, cases, unavailable = dict[RowKey, Call](), dict[RowKey, Case](), dict[str, str]()
    for key, kernel in wanted.items():
        case = Case(
            shape.L, grid.num_heads, shape.d_head, key[-1], device, getattr(torch, DTYPES[device]), shape.causal
        )
        try:
            calls[key], cases[key] = kernel.checked(case), case
        except UnavailableError as error:
            unavailable[_words(key) if error.this_shape else key[0]] = str(error)
    names = {str(key): key for key in calls}
    timings = measure_in_turns(
        {name: calls[key] for name, key in names.items()}, device, grid.samples, grid.trials, sensors
    )
    rows, samples = list[MeasuredRow](), list[TimeSample]()
    for name, key in names.items():
        case, timing = cases[key], timings[name]
        samples += samples_of(key[0], case, timing)
        if not timing.steady:
            unavailable[_words(key)] = f"{REJECTED}: the SM clock moved by {timing.drift_ratio:.1%}"
            continue
        energy = None
        if sensors is not None and _has_energy(grid, key):
            energy = energy_of(calls[key], sensors, timing.median_us, idle_mw)
        rows.append(measured_row(key[0], case, timing, energy))
    return rows, unavailable, samples


def measured_row(name: str, case: Case, timing: Timing, energy: Energy | None = None) -> MeasuredRow:
    """One row: the times of a call, the clocks beside them, and its energy."""
    sensed: dict[str, float] = {}
    if timing.readings:
        fields = ("sm_mhz", "memory_mhz", "temperature_c", "power_mw")
        sensed = {field: median(getattr(reading, field) for reading in timing.readings) for field in fields}
        sensed["drift_ratio"] = timing.drift_ratio
    return MeasuredRow(
        kernel=name,
        L=case.L,
        num_heads=case.num_heads,
        d_head=case.d_head,
        causal=case.causal,
        density=case.block_density if name == "flex_blocks" else case.density,
        asked_density=case.density,
        median_us=timing.median_us,
        p20_us=timing.p20_us,
        p80_us=timing.p80_us,
        samples=len(timing.trials[0].times_us),
        trials=len(timing.trials),
        rejected=timing.rejected,
        energy_uj=None if energy is None else energy.board_uj,
        energy_above_idle_uj=None if energy is None else energy.above_idle_uj,
        energy_basis=None if energy is None else energy.basis,
        **sensed,
    )


def _shapes(grid: Grid) -> Iterator[CallShape]:
    for L in sorted(grid.lengths, reverse=True):
        for d_head in sorted(grid.head_sizes, reverse=True):
            for causal in (False, True):
                yield CallShape(L, d_head, causal)


def _keys(grid: Grid, shape: CallShape) -> Iterator[tuple[RowKey, Kernel]]:
    """What is measured of a shape: dense kernels once, the others at every density."""
    of_shape = shape.L, shape.d_head, shape.causal
    for name, kernel in DENSE.items():
        yield (name, *of_shape, 1.0), kernel
    for density in grid.densities:
        for name, kernel in SPARSE.items():
            yield (name, *of_shape, density), kernel


def _without(unavailable: Mapping[str, str], tried: Iterable[RowKey]) -> dict[str, str]:
    """What is unavailable, without rejections that were tried again."""
    again = {_words(key) for key in tried}
    return {name: reason for name, reason in unavailable.items() if name not in again}


def _settled(key: RowKey, profile: GpuProfile) -> bool:
    """Whether a row is there, or known not to be had; one that was rejected is worth another try."""
    name, L, d_head, causal, density = key
    shape = L, d_head, causal, density
    rows = (row for row in profile.rows if row.kernel == name)
    if any((row.L, row.d_head, row.causal, row.asked_density or row.density) == shape for row in rows):
        return True
    reason = profile.unavailable.get(_words(key), "")
    return name in profile.unavailable or (reason != "" and not reason.startswith(REJECTED))


def _missing(grid: Grid, profile: GpuProfile) -> int:
    """Rows of the grid that could still be had."""
    return sum(not _settled(key, profile) for shape in _shapes(grid) for key, _ in _keys(grid, shape))


def _has_energy(grid: Grid, key: RowKey) -> bool:
    name, L, _, causal, density = key
    return L in grid.energy_lengths and not causal and (name in DENSE or density == grid.energy_density)


def _words(key: RowKey) -> str:
    name, L, d_head, causal, density = key
    return f"{name} L {L} d_head {d_head}{' causal' if causal else ''} density {density:g}"
