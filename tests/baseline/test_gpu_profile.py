"""Measured profiles: what is read, what is refused, and a GPU that reproduces what was measured."""

import json
import math
import os
import re
from pathlib import Path

import pytest
from gpu_profiles import profile_of

from dsasim.baseline.gpu import AttentionShape, attention_ns
from dsasim.baseline.gpu_profile import GpuProfile, compared_gpus, measured_gpu, read_profile, with_profiles
from dsasim.baseline.gpu_table import load_gpus
from dsasim.errors import ConfigError


def row(kernel: str, median_us: float, L: int = 1024) -> dict[str, object]:
    times = {"median_us": median_us, "p20_us": median_us, "p80_us": median_us}
    return {"kernel": kernel, "L": L, "num_heads": 2, "d_head": 64, "causal": False, "density": 1.0, **times}


def profile(**changes: object) -> dict[str, object]:
    """16 units that reach 1 TFLOP/s and 1000 GB/s; dense attention of 2 heads of 1024 in 1.079 ms, unfused 3 ms."""
    rows = [row("sdpa_flash", 1078.741824), row("sdpa_cudnn", 1500.0), row("sdpa_math", 3000.0)]
    return profile_of(**({"rows": rows} | changes))


def test_efficiency_worked_example() -> None:
    gpu = measured_gpu(GpuProfile.model_validate(profile()))
    (fused,) = gpu.efficiencies["fused"]
    assert fused.ratio == pytest.approx(0.5)


@pytest.mark.parametrize(("kernel", "ns"), [("fused", 1078741.824), ("unfused", 3e6)])
def test_the_roofline_reproduces_what_was_measured(kernel: str, ns: float) -> None:
    gpu = measured_gpu(GpuProfile.model_validate(profile()))
    shape = AttentionShape(num_heads=2, num_kv_heads=2, L_q=1024, L_k=1024, d_head=64, causal=False)
    assert attention_ns(gpu, kernel, shape) == pytest.approx(ns)


def test_a_profile_takes_the_place_of_its_gpu_or_comes_after_them() -> None:
    known = GpuProfile.model_validate(profile())
    other = GpuProfile.model_validate(profile(device="AMD EPYC"))
    names = [gpu.name for gpu in load_gpus()]
    found = with_profiles(load_gpus(), [known, other])
    assert [gpu.name for gpu in found] == [*names, "AMD EPYC"]
    assert [gpu.name for gpu in found if gpu.measured] == ["H100", "AMD EPYC"]


@pytest.mark.parametrize(("device", "name"), [("NVIDIA H200", "H200"), ("NVIDIA GH200 480GB", "NVIDIA GH200 480GB")])
def test_a_profile_stands_for_a_gpu_of_its_whole_name(device: str, name: str) -> None:
    found = with_profiles(load_gpus(), [GpuProfile.model_validate(profile(device=device))])
    assert [gpu.name for gpu in found if gpu.measured] == [name]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"launch_us": 0}, "launch_us: Input should be greater than 0"),
        ({"copy_gbps": "NaN"}, "copy_gbps"),
        ({"profile_version": 2}, "profile_version"),
        ({"surprise": 1}, "surprise"),
        ({"rows": []}, "no row of a dense kernel"),
        ({"rows": [row("flex_blocks", 1.0)]}, "no row of a dense kernel"),
        ({"rows": [row("sdpa_flash", -1.0)]}, "rows.0.median_us"),
        ({"rows": [row("sdpa_flash", 1e308)]}, "rows.0.median_us: Input should be less than or equal to"),
        ({"rows": [row("sdpa_flash", 5e-324)]}, "rows.0.median_us: Input should be greater than"),
        ({"rows": [row("sdpa_flash", "1.0")]}, "rows.0.median_us: Input should be a valid number"),
        ({"rows": [row("sdpa_flash", 1.0) | {"d_head": 10**18}]}, "rows.0.d_head: Input should be less than or equal"),
        ({"rows": [row("sdpa_flash", 1.0) | {"d_head": 10**19}]}, "an integer of 20 characters; at most 19 are read"),
        ({"rows": [row("sdpa_flash", 1.0) | {"energy_above_idle_uj": -1e300}]}, "rows.0.energy_above_idle_uj"),
        ({"parallel_units": True}, "parallel_units: Input should be a valid integer"),
        ({"device": "H100\x1b[31m"}, r"device: holds \x1b, which cannot be printed"),
        ({"rows": ["[" * 5]} | {"clocks": {"a": [[[]]]}}, "clocks.a"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps(profile(**changes)))
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        read_profile(path)
    assert str(path) in str(error.value)


EXTREMES = {
    "slow": {"matmul_tflops": 2e-9, "copy_gbps": 2e-9, "launch_us": 1e12, "parallel_units": 1},
    "fast": {"matmul_tflops": 1e12, "copy_gbps": 1e12, "launch_us": 2e-9, "parallel_units": 1 << 24},
}


@pytest.mark.parametrize("machine", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("median_us", [2e-9, 1e12])
@pytest.mark.parametrize("size", [1, 1 << 24])
def test_whatever_is_read_makes_a_machine_of_finite_numbers(
    machine: dict[str, object], median_us: float, size: int
) -> None:
    """And at once: a causal row of 16 million tokens is counted, not walked."""
    sizes = {"L": size, "num_heads": size, "d_head": size, "causal": True}
    rows = [row(kernel, median_us) | sizes for kernel in ("sdpa_flash", "sdpa_math")]
    gpu = measured_gpu(GpuProfile.model_validate(profile(rows=rows, **machine)))
    shape = AttentionShape(num_heads=8, num_kv_heads=8, L_q=512, L_k=512, d_head=64, causal=True)
    for kernel in ("fused", "unfused"):
        assert 0 < gpu.efficiencies[kernel][0].ratio < math.inf
        assert 0 < attention_ns(gpu, kernel, shape) < math.inf


def test_a_profile_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ConfigError, match=rf"--gpu-profile {path}: is a pipe or a device, not a GPU profile"):
            compared_gpus([path])


@pytest.mark.parametrize("text", ["", "{", "[1]", "nonsense", "NaN", "[" * 975 + "]" * 975])
def test_what_is_no_profile(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gpu.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a GPU profile"):
        read_profile(path)


def test_a_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"--gpu-profile /nowhere/gpu\.json: cannot be read: no such file"):
        compared_gpus(["/nowhere/gpu.json"])


def test_a_user_s_profile_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps(profile()))
    assert [gpu.name for gpu in compared_gpus([path]) if gpu.measured] == ["H100"]


def test_every_profile_of_a_user_is_compared(tmp_path: Path) -> None:
    devices = ("NVIDIA H100 80GB HBM3", "AMD EPYC", "NVIDIA L40S")
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    for path, device in zip(paths, devices, strict=True):
        path.write_text(json.dumps(profile(device=device)))
    assert {gpu.name for gpu in compared_gpus(paths) if gpu.measured} == {"H100", "AMD EPYC", "NVIDIA L40S"}


def test_a_cpu_s_numbers_have_four_bytes() -> None:
    sizes = [
        measured_gpu(GpuProfile.model_validate(profile(dtype=dtype))).element_bytes for dtype in ("float16", "float32")
    ]
    assert sizes == [2, 4]
