"""Measured GPU profiles: the file that `dsasim validate --profile` writes, and a GPU of the comparison made from one.

Times replace the published efficiencies of the table, and measured ceilings its peaks, so that the roofline reproduces
what was measured at the shapes measured, and stands between them.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from dsasim.baseline.gpu import LAUNCHES, AttentionShape, occupancy
from dsasim.baseline.gpu_table import Efficiency, Gpu, load_gpus
from dsasim.inputs.checked import checked_json
from dsasim.inputs.printable import unprintable
from dsasim.inputs.source import Source
from dsasim.silicon.sourced import SourcedNumber

PROFILE_VERSION: Literal[1] = 1
MEASURED = "A"
"""Trust letter of what was measured on the device itself."""

KERNEL_OF = {"sdpa_flash": "fused", "sdpa_efficient": "fused", "sdpa_cudnn": "fused", "sdpa_math": "unfused"}
"""Which kernel of the comparison each dense kernel is; of several fused ones the fastest counts."""

MAX_PROFILE_BYTES = 1 << 26
"""Of 100,000 rows; one that `dsasim validate` writes has some dozens."""

Positive = Annotated[float, Field(gt=1e-9, le=1e12, allow_inf_nan=False)]
"""A time, rate or energy whose quotients are numbers: 1e12 us are 11 days."""

Finite = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1 << 24)]


def _shown(name: str) -> str:
    if (character := unprintable(name)) is not None:
        raise ValueError(f"holds {character}, which cannot be printed")
    return name


ELEMENT_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}

LEAST_BUSY_SHARE = 0.05
"""Of a call's time, where launches alone would take longer than all of it: they overlap in a stream."""


class ProfileModel(BaseModel):
    """Unknown keys are errors, and nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MeasuredRow(ProfileModel):
    """One kernel on one shape, and the GPU while it ran.

    density             share of the positions seen that it computes, prediction not included
    asked_density       the density that its mask was made for; blocks round it up
    samples, trials     times taken of it: `samples` in each of `trials`
    rejected            trials taken again because the SM clock moved
    sm_mhz .. power_mw  medians over its trials; drift_ratio: how far the SM clock moved in them, of its highest
    energy_uj           of one call, the whole board's; energy_above_idle_uj: without idle power over the same time
    energy_basis        counter: NVML's energy counter; power: it did not move, power readings x time
    """

    kernel: str
    L: Count
    num_heads: Count
    d_head: Count
    causal: bool
    density: Annotated[float, Field(gt=0, le=1)]
    asked_density: Annotated[float, Field(gt=0, le=1)] | None = None
    median_us: Positive
    p20_us: Positive
    p80_us: Positive
    samples: Count | None = None
    trials: Count | None = None
    rejected: Annotated[int, Field(ge=0)] = 0
    sm_mhz: Finite | None = None
    memory_mhz: Finite | None = None
    temperature_c: Finite | None = None
    power_mw: Finite | None = None
    drift_ratio: Finite | None = None
    energy_uj: Positive | None = None
    energy_above_idle_uj: Finite | None = None
    energy_basis: Literal["counter", "power"] | None = None


class GpuProfile(ProfileModel):
    """A device, what it reached, and its rows."""

    profile_version: Literal[1]
    device: Annotated[str, AfterValidator(_shown)]
    dtype: Literal["float16", "bfloat16", "float32"]
    parallel_units: Count
    matmul_tflops: Positive
    copy_gbps: Positive
    launch_us: Positive
    versions: dict[str, str]
    clocks: dict[str, str | int]
    unavailable: dict[str, str]
    rows: tuple[MeasuredRow, ...]


_PROFILE = TypeAdapter(GpuProfile)


def read_profile(path: str | Path, *, complete: bool = True, argument: str = "") -> GpuProfile:
    """Read a profile; ConfigError names the file, the argument it came from, and the first thing that is wrong.

    A `complete` one can stand for its GPU: it has a row of a dense kernel.
    """
    source = Source(Path(path), "a GPU profile", MAX_PROFILE_BYTES, argument=argument)
    profile = checked_json(_PROFILE, source.text(), source)
    if complete and not any(row.kernel in KERNEL_OF for row in profile.rows):
        source.refuse(f"the GPU profile has no row of a dense kernel ({', '.join(KERNEL_OF)})")
    return profile


def with_profiles(gpus: Iterable[Gpu], profiles: Iterable[GpuProfile]) -> tuple[Gpu, ...]:
    """The GPUs with each profile in place of the one it was measured on, or after them if it is none of these."""
    found = list(gpus)
    for profile in profiles:
        alike = [at for at, gpu in enumerate(found) if _is_one_of(gpu.device_names, profile.device)]
        known = found[alike[0]] if alike else None
        measured = measured_gpu(profile, known)
        if alike:
            found[alike[0]] = measured
        else:
            found.append(measured)
    return tuple(found)


def _is_one_of(names: Iterable[str], device: str) -> bool:
    """Whether a device is called by one of the names: as whole words, so that a GH200 is no H200."""
    return any(re.search(rf"\b{re.escape(name)}\b", device) for name in names)


def compared_gpus(profiles: Iterable[str | Path] = ()) -> tuple[Gpu, ...]:
    """The GPUs of the table, with the shipped profiles and then the files of `profiles`."""
    folder = resources.files("dsasim.baseline") / "profiles"
    shipped = sorted(str(entry) for entry in folder.iterdir() if entry.name.endswith(".json"))
    named = (read_profile(path, argument="--gpu-profile") for path in profiles)
    return with_profiles(load_gpus(), (*map(read_profile, shipped), *named))


def measured_gpu(profile: GpuProfile, known: Gpu | None = None) -> Gpu:
    """A GPU whose ceilings, launches and efficiencies are those of a profile.

    Worked example: 2 heads of 1024 x 1024, d_head 64, are 0.537 GFLOP; in 1.079 ms of which 5 us are the launch, on
    1 TFLOP/s with every unit at work, that is an efficiency of 0.5.
    """
    base = load_gpus()[0] if known is None else known
    device = f"measured on {profile.device}"
    gpu = replace(
        base,
        name=profile.device if known is None else known.name,
        device_names=(profile.device,) if known is None else known.device_names,
        sms=profile.parallel_units,
        peak_fp16_tflops=SourcedNumber(profile.matmul_tflops, device, MEASURED),
        memory_gbps=SourcedNumber(profile.copy_gbps, device, MEASURED),
        launch_ns=1e3 * profile.launch_us,
        element_bytes=ELEMENT_BYTES[profile.dtype],
        measured=True,
    )
    rows = {kernel: _fastest(gpu, profile, kernel, device) for kernel in LAUNCHES}
    kernels = {kernel: measured for kernel, measured in rows.items() if measured}
    return replace(gpu, efficiencies=kernels)


def _fastest(gpu: Gpu, profile: GpuProfile, kernel: str, device: str) -> tuple[Efficiency, ...]:
    best: dict[tuple[int, int, bool], MeasuredRow] = {}
    for row in profile.rows:
        if KERNEL_OF.get(row.kernel) == kernel:
            shape = row.L, row.d_head, row.causal
            if shape not in best or row.median_us < best[shape].median_us:
                best[shape] = row
    return tuple(
        Efficiency(row.L, row.d_head, row.causal, _efficiency(gpu, kernel, row), device, MEASURED)
        for row in best.values()
    )


def _efficiency(gpu: Gpu, kernel: str, row: MeasuredRow) -> float:
    shape = AttentionShape(row.num_heads, row.num_heads, row.L, row.L, row.d_head, row.causal and kernel == "fused")
    launches_us = LAUNCHES[kernel] * gpu.launch_ns / 1e3
    busy_us = max(row.median_us - launches_us, LEAST_BUSY_SHARE * row.median_us)
    reached_tflops = 1e-6 * shape.flops / busy_us
    return reached_tflops / (gpu.peak_fp16_tflops.value * occupancy(gpu.sms, kernel, shape))
