"""What the machine is that times are measured on: names, clocks, versions, and ceilings that it really reaches."""

import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from dsasim.validate.gpu.timing import measure

ENERGY_SECONDS = 5.0
"""NVML's energy counter moves every 20 to 100 ms: a kernel is repeated for at least this long."""


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


def driver_and_clocks(device: str) -> Mapping[str, str | int]:
    """Driver, clocks, temperature and power right after measuring, by NVML; nothing without a GPU or nvidia-ml-py."""
    handle = _nvml_handle(device)
    if handle is None:
        return {}
    import pynvml

    return {
        "driver": str(pynvml.nvmlSystemGetDriverVersion()),
        "sm_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "memory_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
        "temperature_c": pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "power_mw": pynvml.nvmlDeviceGetPowerUsage(handle),
    }


def energy_uj(call: Callable[[], Any], device: str, median_us: float) -> float | None:
    """Energy of one call in microjoules, the whole board's, over ENERGY_SECONDS of calls; None without NVML."""
    handle = _nvml_handle(device)
    if handle is None:
        return None
    import pynvml

    batch, calls = max(1, int(1e6 / median_us)), 0
    torch.cuda.synchronize()
    began, before_mj = time.monotonic(), pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    while time.monotonic() - began < ENERGY_SECONDS:  # a call with warm caches is shorter than the median
        for _ in range(batch):
            call()
        torch.cuda.synchronize()
        calls += batch
    return float(1e3 * (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) - before_mj) / calls)


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


def _nvml_handle(device: str) -> Any:
    if device != "cuda":
        return None
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
    except pynvml.NVMLError:
        return None
