"""The memory on its own: a request trace replayed with the injection rule of `kernels.dram_replay`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsasim.kernels import dram_commands as controller
from dsasim.kernels import dram_replay as kernel
from dsasim.model.dram_memory import MemoryUse, new_memory
from dsasim.model.dram_preset import DramPreset
from dsasim.trace.requests import Requests


@dataclass(frozen=True)
class ReplayResult:
    """What a replay took; cycles are the controller's ticks (half clock cycles in HBM3)."""

    requests: int
    reads: int
    cycles_last_read: int
    cycles_drained: int
    """End of the last data, read or written."""
    time_ns: float
    bandwidth_gbps: float
    """Bytes asked for a nanosecond."""
    avg_read_latency_cycles: float
    row_hits: int
    row_misses: int
    row_conflicts: int
    commands: dict[str, int]
    channels: list[dict[str, int]]
    """Commands of each channel, its cycles with a row open in any bank (active) and with none (idle)."""
    wrapped_requests: int
    """Requests past the memory's capacity: their addresses begin again at 0."""
    latency_histogram: list[tuple[int, int]]
    """(from, reads): reads that took `from` to 2 * from - 1 cycles, ascending, without empty ends."""

    def to_json(self) -> dict[str, Any]:
        """As `dsasim dram --json` writes it."""
        return {
            "requests": self.requests,
            "reads": self.reads,
            "writes": self.requests - self.reads,
            "cycles_last_read": self.cycles_last_read,
            "cycles_drained": self.cycles_drained,
            "time_ns": self.time_ns,
            "bandwidth_gbps": self.bandwidth_gbps,
            "avg_read_latency_cycles": self.avg_read_latency_cycles,
            "row_hits": self.row_hits,
            "row_misses": self.row_misses,
            "row_conflicts": self.row_conflicts,
            "commands": self.commands,
            "open_cycles": [channel["active_cycles"] for channel in self.channels],
            "channels": self.channels,
            "wrapped_requests": self.wrapped_requests,
            "latency_histogram": [{"from_cycles": first, "reads": reads} for first, reads in self.latency_histogram],
        }


def replay_trace(preset: DramPreset, use: MemoryUse, parts: Iterable[Requests], per_cycle: int) -> ReplayResult:
    """Replay all parts, offering up to `per_cycle` requests a memory cycle; ConfigError as `new_memory`."""
    memory = new_memory(preset, use)
    scalars, histogram = np.zeros(kernel.SCALARS, np.int64), np.zeros(kernel.BINS, np.int64)
    capacity_bursts = preset.channel_bytes * use.channels * use.ranks // preset.access_bytes
    requests = writes = wrapped = 0
    for part in parts:
        kernel.replay(memory, scalars, histogram, part.bursts, part.writes, part.not_before, per_cycle, False)
        requests += len(part.bursts)
        writes += int(part.writes.sum())
        wrapped += int(np.count_nonzero(part.bursts >= capacity_bursts))
    nothing = np.empty(0, np.int64)
    kernel.replay(memory, scalars, histogram, nothing, nothing.astype(np.uint8), nothing, per_cycle, True)
    drained = int(max(scalars[kernel.LAST_READ], scalars[kernel.LAST_DATA]))
    controller.count_open_cycles(memory.channel, memory.counters, drained)
    return _result(preset, (requests, requests - writes, wrapped), scalars, drained, histogram, memory.counters)


def _result(
    preset: DramPreset,
    sizes: tuple[int, int, int],
    scalars: "np.ndarray[Any, np.dtype[np.int64]]",
    drained: int,
    histogram: "np.ndarray[Any, np.dtype[np.int64]]",
    counters: "np.ndarray[Any, np.dtype[np.int64]]",
) -> ReplayResult:
    requests, reads, wrapped = sizes
    counts = counters.sum(axis=0).tolist()
    time_ns = float(drained * preset.tick_ps / 1000)
    bins = [(1 << at, int(histogram[at])) for at in np.flatnonzero(histogram).tolist()]
    return ReplayResult(
        requests=requests,
        reads=reads,
        cycles_last_read=int(scalars[kernel.LAST_READ]),
        cycles_drained=drained,
        time_ns=time_ns,
        bandwidth_gbps=requests * preset.access_bytes / time_ns if drained else 0.0,
        avg_read_latency_cycles=int(scalars[kernel.LATENCY]) / reads if reads else 0.0,
        row_hits=counts[controller.HITS],
        row_misses=counts[controller.MISSES],
        row_conflicts=counts[controller.CONFLICTS],
        commands=_commands(counts)
        | {"forwarded_reads": counts[controller.FORWARDED], "merged_writes": counts[controller.MERGED]},
        channels=[_channel(one, drained) for one in counters.tolist()],
        wrapped_requests=wrapped,
        latency_histogram=bins,
    )


def _commands(counts: list[int]) -> dict[str, int]:
    return {
        "act": counts[controller.ACTIVATES],
        "pre": counts[controller.PRECHARGES] + counts[controller.PRECHARGE_ALLS],
        "rd": counts[controller.READS],
        "wr": counts[controller.WRITES],
        "ref": counts[controller.REFRESHES],
    }


def _channel(counts: list[int], drained: int) -> dict[str, int]:
    active = counts[controller.OPEN_CYCLES]
    return {**_commands(counts), "active_cycles": active, "idle_cycles": drained - active}
