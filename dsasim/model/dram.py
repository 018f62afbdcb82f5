"""Off-chip memory as one SimPy component: it takes transfers from the DMA engines and completes them.

The controller kernel (`kernels.dram`) advances in memory cycles; how far it may is decided by the clock of all
memories (`model.memory_clock`), which wakes at core time t after everything else that happens at t. Then the kernel is
handed all transfers posted at t in stream order, and simulates up to the next event on the calendar, or to the first
completion if that is earlier, since either may post something new. So nothing depends on where the simulation is cut.
Core and memory clocks are related exactly: memory cycle m begins at core time m * num / den, an integer ratio.
"""

from fractions import Fraction
from math import inf
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simpy import Environment, Event

from dsasim.config.schema import MachineConfig
from dsasim.kernels import dram as kernel
from dsasim.kernels import dram_commands as controller
from dsasim.kernels import dram_queue as queue
from dsasim.kernels import dram_transfers as transfers
from dsasim.machine.transfer import Transfer
from dsasim.model.dram_memory import memory_use, new_memory
from dsasim.model.dram_preset import core_cycles_per_memory_cycle, load_presets
from dsasim.model.memory_clock import clock_of


class Dram:
    """All channels of the memory, driven by one callback."""

    def __init__(self, env: Environment, arch: MachineConfig, num_streams: int, log_commands: int = 0) -> None:
        self.env = env
        self.preset = load_presets()[arch.dram.preset]
        self.core_cycles_per_memory_cycle = core_cycles_per_memory_cycle(arch)
        self.memory = new_memory(self.preset, memory_use(arch.dram), log_commands)
        self.state = _new_state(arch, num_streams, self.core_cycles_per_memory_cycle)
        self.open_intervals: list[tuple[int, int]] = []
        """[post, ready) of every finished transfer, in core cycles."""
        self._num, self._den = self.core_cycles_per_memory_cycle.as_integer_ratio()
        self._posts: list[tuple[int, Transfer, Event]] = []
        self._open: dict[int, tuple[int, Event]] = {}
        self._finished = np.empty((num_streams * arch.dma.open_transfers, 2), np.int64)
        self._completions = 0
        self.remaining = 0
        """Bursts not yet issued."""
        self._clock = clock_of(env)
        self._clock.join(self)

    def post(self, stream: int, transfer: Transfer) -> Event:
        """Hand over a transfer of at least one byte; the event fires when its last byte has moved."""
        done = self.env.event()
        self._posts.append((stream, transfer, done))
        self._clock.wake(0)
        return done

    def bursts(self, transfer: Transfer) -> int:
        """Aligned bursts of a transfer."""
        return transfer.bursts(self.preset.access_bytes)

    def finish(self, cycles: int) -> None:
        """Let the memory, idle by now, come to the end of a run of `cycles`, so that its counts are the run's."""
        kernel.catch_up(self.memory, self.state, self._memory_cycle(cycles))
        controller.count_open_cycles(self.memory.channel, self.memory.counters, int(self.state.scalars[kernel.CYCLE]))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Counters of each channel [channels, COUNTERS], see `kernels.dram_commands`."""
        return self.memory.counters

    @property
    def busy_cycles(self) -> int:
        """Core cycles that meet a memory cycle in which a data bus moves."""
        return int(self.state.scalars[kernel.BUSY_CORE])

    def take_posts(self, now: int) -> None:
        """Begin what has been posted, in the order of the streams."""
        for stream, transfer, done in sorted(self._posts, key=itemgetter(0)):
            self._open[self._enqueue(stream, transfer)] = (now, done)
        self.remaining += bool(self._posts)  # a count that the next simulation corrects
        self._posts.clear()

    def simulate(self, now: int, upcoming: float) -> None:
        """Simulate from a core cycle to another, or to the first completion if that is earlier."""
        last = self._memory_cycle(int(upcoming)) if upcoming != inf else queue.NEVER
        self._completions, self.remaining = self._simulate(self._memory_cycle(now), last)

    @property
    def first_ready(self) -> float:
        """When the first transfer that was completed is ready, in core cycles."""
        ends = self._finished[: self._completions, 1]
        return self._core_cycle(int(ends.min())) if len(ends) else inf

    def is_beyond(self, cycle: float) -> bool:
        """Whether memory cycles at or after a core cycle have been simulated."""
        return cycle != inf and int(self.state.scalars[kernel.CYCLE]) > self._memory_cycle(int(cycle))

    def snapshot(self) -> Any:
        """Copies of all that simulation changes."""
        return [array.copy() for array in (*self.memory, *self.state)]

    def restore(self, snapshot: Any) -> None:
        """Be as it was then."""
        for array, before in zip((*self.memory, *self.state), snapshot, strict=True):
            np.copyto(array, before)

    def complete(self, now: int) -> None:
        """Put what was completed on the calendar."""
        for index, end in self._finished[: self._completions].tolist():
            ready = self._core_cycle(end)
            posted, done = self._open.pop(index)
            self.open_intervals.append((posted, ready))
            done._ok = True
            done._value = None
            self.env.schedule(done, delay=ready - now)
        self._completions = 0

    def _core_cycle(self, memory_cycle: int) -> int:
        """The first core cycle that does not begin before a memory cycle."""
        return -(-memory_cycle * self._num // self._den)

    def _memory_cycle(self, core_cycle: int) -> int:
        """The first memory cycle that does not begin before a core cycle."""
        return -(-core_cycle * self._den // self._num)

    def _simulate(self, first: int, last: int) -> tuple[int, int]:
        """Simulate memory cycles from `first`, at most to `last` - 1; see `kernels.dram.advance`."""
        return kernel.advance(self.memory, self.state, first, last, self._finished)

    def _enqueue(self, stream: int, transfer: Transfer) -> int:
        """Write the transfer into its stream's ring; return its index."""
        self._grow_runs(len(transfer.starts))
        ring, runs, streams = self.state.transfers, self.state.runs, self.state.streams
        index = transfers.enqueue(
            ring, runs, streams, stream, transfer.is_write, transfer.starts, transfer.sizes, self.preset.access_bytes
        )
        return int(index)

    def _grow_runs(self, num_runs: int) -> None:
        """Grow the arrays until every open transfer can have `num_runs` runs."""
        indices, capacity, _ = self.state.runs.shape
        if num_runs > capacity:
            wider = np.zeros((indices, max(num_runs, 2 * capacity), 2), np.int64)
            wider[:, :capacity] = self.state.runs
            self.state = self.state._replace(runs=wider)


def _new_state(arch: MachineConfig, num_streams: int, core_cycles_per_memory_cycle: Fraction) -> kernel.DramState:
    scalars = np.zeros(kernel.SCALARS, np.int64)
    scalars[kernel.OUTSTANDING_LIMIT] = arch.dma.outstanding_bursts
    scalars[[kernel.NUM, kernel.DEN]] = core_cycles_per_memory_cycle.as_integer_ratio()
    return kernel.DramState(
        scalars=scalars,
        transfers=np.zeros((num_streams, arch.dma.open_transfers, kernel.TRANSFER_FIELDS), np.int64),
        runs=np.zeros((num_streams * arch.dma.open_transfers, 1, 2), np.int64),
        streams=np.zeros((num_streams, kernel.STREAM_FIELDS), np.int64),
        ring=np.zeros((num_streams + 2, kernel.RING), np.int64),
    )
