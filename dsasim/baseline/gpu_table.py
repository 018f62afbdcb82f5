"""The GPUs that results are compared with: data-sheet peaks and measured efficiencies (tables/gpus.yaml)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import log2
from typing import Any

import yaml

from dsasim.silicon.sourced import FROM_MEMORY, SourcedNumber, sourced_number

KERNELS = ("fused", "unfused")
"""FlashAttention-like, one kernel and no scores in memory; and PyTorch's softmax(Q K^T) V of three kernels."""


@dataclass(frozen=True)
class Efficiency:
    """Share of the peak that a kernel reached on one shape, every SM busy; None for what its source does not say."""

    L: int | None
    d_head: int | None
    causal: bool | None
    ratio: float
    source: str
    trust: str


@dataclass(frozen=True)
class Gpu:
    """One GPU; `efficiencies` has a row a measurement of each of KERNELS, `measured` says they come from a profile.

    `element_bytes` are those of the type that its peak and efficiencies are of: fp16, but for a CPU's profile.
    """

    name: str
    device_names: tuple[str, ...]
    sms: int
    peak_fp16_tflops: SourcedNumber
    memory_gbps: SourcedNumber
    launch_ns: float
    causal_factor: float
    efficiencies: dict[str, tuple[Efficiency, ...]]
    measured: bool = False
    element_bytes: int = 2

    @property
    def assumed(self) -> bool:
        """Whether a peak of this GPU is from memory."""
        return FROM_MEMORY in (self.peak_fp16_tflops.trust, self.memory_gbps.trust)


@dataclass(frozen=True)
class Reached:
    """An efficiency for one shape, and the measurement it comes from.

    `same_shape`: it was measured at this head size, causal or not as here, and at lengths on both sides of this one.
    """

    ratio: float
    source: str
    trust: str
    same_shape: bool


def efficiency(gpu: Gpu, kernel: str, L: int, d_head: int, causal: bool) -> Reached:
    """Return what a kernel reaches on a shape: of the measurements with the nearest d_head, straight in log2 of L.

    Outside the measured lengths the nearest one's holds. Causal shapes take causal measurements where there are some,
    and else the others' by the table's causal factor.
    Worked example: 0.4 at 512 and 0.6 at 2048 make 0.5 at 1024, and 0.6 at 4096.
    """
    rows = gpu.efficiencies[kernel]
    alike = [row for row in rows if row.causal in (causal, None)] or list(rows)
    factor = gpu.causal_factor if causal and not any(row.causal in (True, None) for row in rows) else 1.0
    distance = min(abs((row.d_head or d_head) - d_head) for row in alike)
    near = sorted(
        (row for row in alike if abs((row.d_head or d_head) - d_head) == distance), key=lambda row: row.L or L
    )
    lengths = [row.L for row in near if row.L is not None]
    same_shape = (
        all((row.d_head, row.causal) == (d_head, causal) for row in near)
        and bool(lengths)
        and min(lengths) <= L <= max(lengths)
    )
    return Reached(factor * _at_length(near, L), near[0].source, near[0].trust, same_shape)


def _at_length(rows: Sequence[Efficiency], L: int) -> float:
    below = [row for row in rows if (row.L or L) <= L]
    above = [row for row in rows if (row.L or L) > L]
    if not below or not above:
        return (below[-1] if below else above[0]).ratio
    low, high = below[-1], above[0]
    span = log2((high.L or L) / (low.L or L))
    return low.ratio + (high.ratio - low.ratio) * log2(L / (low.L or L)) / span


@cache
def load_gpus() -> tuple[Gpu, ...]:
    """Every GPU of the shipped table, in its order."""
    table = yaml.safe_load((resources.files("dsasim.baseline") / "tables" / "gpus.yaml").read_text(encoding="utf-8"))
    return tuple(_gpu(entry, table) for entry in table["gpus"])


def _gpu(entry: dict[str, Any], table: dict[str, Any]) -> Gpu:
    return Gpu(
        name=entry["name"],
        device_names=tuple(entry["device_names"]),
        sms=entry["sms"],
        peak_fp16_tflops=sourced_number(entry["peak_fp16_tflops"]),
        memory_gbps=sourced_number(entry["memory_gbps"]),
        launch_ns=float(table["launch_ns"]["value"]),
        causal_factor=float(table["causal_factor"]["value"]),
        efficiencies={kernel: tuple(_efficiency(row) for row in entry[kernel]) for kernel in KERNELS},
    )


def _efficiency(row: dict[str, Any]) -> Efficiency:
    return Efficiency(
        row["L"], row["d_head"], row["causal"], float(row["efficiency_ratio"]), row["source"], row["trust"]
    )
