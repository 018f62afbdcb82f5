"""What a worker process does: simulate one point."""

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

from dsasim import registry
from dsasim.api import simulate
from dsasim.config.schema import MachineConfig
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.cache import MemoryCache
from dsasim.trace.disk_cache import user_cache
from dsasim.trace.store import VERIFIED_BELOW_BYTES, open_trace, verify_digest

MAX_TRACES = 4
MEMORY_BYTES = 128 << 20
"""Of masks, plans and quality, a trace: those of 27 heads of 512 tokens at density 0.1 take about 9 MB."""


@dataclass(frozen=True)
class SweepJob:
    """One run: a design, a trace file, and what of the trace and beside the machine is wanted.

    `head` is what is known of the point's row (`sweep.row`).
    """

    head: Mapping[str, Any]
    arch: MachineConfig
    trace: Path
    layers: Sequence[int] | None
    heads: Sequence[int] | None
    quality: bool
    baselines: bool

    @property
    def number(self) -> int:
        """The point's number."""
        return int(self.head["point"])


def run_job(job: SweepJob) -> dict[str, Any]:
    """Return the result as JSON-ready values, without its sources; raises what `simulate` raises."""
    result = simulate(
        job.arch, _trace(job.trace), job.layers, job.heads, quality=job.quality, baselines=job.baselines, changes=()
    ).to_json()
    del result["cost_sources"], result["dram_sources"]  # a third of a row, and the same for all of them
    return result


@lru_cache(maxsize=MAX_TRACES)
def _trace(path: Path) -> AttentionTrace:
    trace = open_trace(path)
    if path.stat().st_size >= VERIFIED_BELOW_BYTES:
        verify_digest(trace)  # entries on disk go by it
    return trace.with_cache(MemoryCache(MEMORY_BYTES, user_cache(trace.meta.sha256)))


def begin_worker() -> None:
    """Know the parent's plugins; leave Ctrl-C and a closed terminal to it, and end with it, or by its SIGTERM."""
    registry.load_plugins()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
