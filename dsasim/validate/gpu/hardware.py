"""What the machine is that times are measured on: names, clocks, versions, and ceilings that it really reaches."""

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from dsasim.validate.gpu.sensors import Nvml
from dsasim.validate.gpu.timing import measure


def device_name(device: str) -> str:
    """The GPU's name, or the processor's."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def parallel_units(device: str) -> int:
    """SMs of a GPU; one thread of a CPU, which is what is timed."""
    return int(torch.cuda.get_device_properties(0).multi_processor_count) if device == "cuda" else 1


def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {"torch": torch.__version__, "python": platform.python_version()}
    for name in ("triton", "nvidia-ml-py"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def driver_and_clocks(sensors: Nvml | None) -> dict[str, str | int]:
    """Driver, clocks, temperature and power now; nothing without sensors."""
    return {} if sensors is None else {"driver": sensors.driver(), **asdict(sensors.read())}


def matmul_tflops(device: str, dtype: Any) -> float:
    """The peak that a large product reaches, in TFLOP/s."""
    size = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2e-6 * size**3 / measure(lambda: a @ b, device, 20).p20_us


def copy_gbps(device: str) -> float:
    """The bandwidth that a large copy reaches, reads and writes counted, in GB/s."""
    count = (1 << 30) if device == "cuda" else (1 << 26)
    source, target = (torch.empty(count, dtype=torch.int8, device=device) for _ in range(2))
    return 2e-3 * count / measure(lambda: target.copy_(source), device, 20).p20_us


def launch_us(device: str) -> float:
    """Time of the smallest call: one element added to."""
    one = torch.zeros(1, device=device)
    return measure(lambda: one.add_(1), device).median_us
