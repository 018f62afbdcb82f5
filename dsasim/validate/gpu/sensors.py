"""What a GPU says of itself while it is timed: clocks, temperature, power and energy, by NVML (nvidia-ml-py).

Clocks are logged, never set. Whatever reads them takes a `Sensors`, so that tests bring their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

MAX_DRIFT_RATIO = 0.03
"""Times are rejected where the SM clock moved by more than this."""


@dataclass(frozen=True)
class Reading:
    """The GPU at one moment."""

    sm_mhz: int
    memory_mhz: int
    temperature_c: int
    power_mw: int


class Sensors(Protocol):
    """What can be read of a GPU at any time."""

    def read(self) -> Reading:
        """Clocks, temperature and power now."""

    def energy_mj(self) -> float:
        """Energy of the whole board since its driver was loaded; moves every 20 to 100 ms, or never."""


class Nvml:
    """The sensors of one NVIDIA GPU, by its NVML handle."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    def read(self) -> Reading:
        """Clocks, temperature and power now."""
        nvml, handle = self._nvml, self._handle
        return Reading(
            sm_mhz=int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            memory_mhz=int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
            temperature_c=int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            power_mw=int(nvml.nvmlDeviceGetPowerUsage(handle)),
        )

    def energy_mj(self) -> float:
        """Energy of the whole board since its driver was loaded; always 0 where it has no such counter."""
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError:
            return 0.0

    def driver(self) -> str:
        """The driver's version."""
        return str(self._nvml.nvmlSystemGetDriverVersion())


def open_sensors(device: str) -> Nvml | None:
    """The GPU's sensors; None on a CPU, without nvidia-ml-py, or where NVML does not answer."""
    if device != "cuda":
        return None
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    try:
        pynvml.nvmlInit()
        sensors = Nvml(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid.encode()))
        sensors.read()
    except pynvml.NVMLError:
        return None
    return sensors


def drift_ratio(readings: Iterable[Reading]) -> float:
    """How far the SM clock moved, of its highest; 0 without readings.

    Worked example: 1980, 1950 and 1980 MHz: 30 / 1980 = 0.015.
    """
    clocks = [reading.sm_mhz for reading in readings] or [1]
    highest = max(clocks)
    return (highest - min(clocks)) / highest if highest else 0.0
