"""The example plugins, and a watcher that notes the jobs of a run, for tests of them."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from dsasim.config.schema import MachineConfig
from dsasim.machine.job import Job
from dsasim.sim.engine import run_machine
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

PLUGINS = Path(__file__).resolve().parents[1] / "examples" / "plugins"
NAMES = ("pooled_blocks", "query_serial", "sanger")


def yaml_of(name: str) -> str:
    """The design file of a plugin."""
    return str(PLUGINS / f"{name}.yaml")


class Jobs:
    """A watcher: cycles of each unit's jobs in order, and bytes of each engine's transfers."""

    def __init__(self) -> None:
        self.cycles: dict[str, list[int]] = defaultdict(list)
        self.done: dict[str, list[Job]] = defaultdict(list)
        self.moved: dict[str, list[int]] = defaultdict(list)
        self.ends: dict[str, list[int]] = defaultdict(list)

    def job(self, unit: str, job: Job, start: int, busy: int, conflict: int, imbalance: int) -> None:
        self.cycles[unit].append(busy + conflict + imbalance)
        self.done[unit].append(job)

    def transfer(self, engine: str, place: int, job: Job, start: int, end: int) -> None:
        self.moved[engine].append(job.transfer.num_bytes)
        self.ends[job.name].append(end)

    def nothing(self, *_: Any) -> None:
        pass

    begin = idle = taken = bus = nothing


def watched(arch: MachineConfig, trace: AttentionTrace) -> tuple[Jobs, MachineResult]:
    """A run of all heads, and what was seen of it."""
    jobs = Jobs()
    selection = {layer.number: range(layer.num_heads) for layer in trace}
    return jobs, run_machine(arch, trace, selection, watchers=[jobs])
