"""What test sweeps run in place of a simulation; spawned workers import it by name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from dsasim.config.resolved import arch_to_dict
from dsasim.errors import ConfigError
from dsasim.sweep.worker import SweepJob


def quick(job: SweepJob) -> dict[str, Any]:
    """A made-up result: lanes buy cycles with area."""
    lanes = job.arch.pe_array.lanes
    return {
        "arch": arch_to_dict(job.arch),
        "cycles": 1000 // lanes,
        "time_ns": 1000 / lanes,
        "energy_pj": {"total": 5.0},
        "area_mm2": {"total": float(lanes)},
        "counters": {"macs_sddmm": job.number},
    }


def poisoned(job: SweepJob, lanes: int) -> dict[str, Any]:
    """Kill the worker whenever the design has so many lanes."""
    if job.arch.pe_array.lanes == lanes:
        os.kill(os.getpid(), signal.SIGKILL)
    return quick(job)


def killed_once(job: SweepJob, lanes: int, marker: Path) -> dict[str, Any]:
    """Kill the worker, but not a second time."""
    if job.arch.pe_array.lanes == lanes and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return quick(job)


def raising(job: SweepJob) -> dict[str, Any]:
    """Fail in the ways a simulation can."""
    if job.arch.pe_array.lanes == 2:
        raise ConfigError("does not fit the trace")
    if job.arch.pe_array.lanes == 4:
        raise ZeroDivisionError("a bug")
    return quick(job)


def unordered(job: SweepJob) -> dict[str, Any]:
    """End later the fewer lanes there are, so that points end out of order."""
    time.sleep(0.2 / job.arch.pe_array.lanes)
    return quick(job)


def selected(job: SweepJob) -> dict[str, Any]:
    """Say which layers and heads were asked for."""
    return quick(job) | {"selected": [job.layers, job.heads]}


def slower_heads(job: SweepJob) -> dict[str, Any]:
    """The higher the head, the longer it takes, whatever the design."""
    return quick(job) | {"cycles": 1000 // job.arch.pe_array.lanes + 10_000 * max(job.heads)}


def steady(job: SweepJob) -> dict[str, Any]:
    """Take a hundredth of a second."""
    time.sleep(0.01)
    return quick(job)
