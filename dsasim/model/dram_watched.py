"""The memory with its data buses in view: the same component, simulated in shorter cuts, each with a log of commands.

A burst is on its data bus from nCL (a write: nCWL) memory cycles after its column command, for nBL cycles. Memory
cycle m is at core time m * num / den, so the burst meets core cycles floor(first * num / den) to
ceil(after * num / den) - 1.

Worked example, 2 memory cycles a core cycle: RD at 10, nCL = 3, nBL = 4: memory cycles 13 .. 16, core cycles 6 .. 8.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from dsasim.config.schema import MachineConfig
from dsasim.kernels import dram as kernel
from dsasim.kernels.dram_timing import BL, CL, CWL, RD, WR
from dsasim.machine.watcher import BusUse, Watcher
from dsasim.model.dram import Dram

CYCLES = 4096
"""Memory cycles simulated at a time: their commands must fit the log."""

COMMANDS_PER_CYCLE = 3
"""At most, of a channel: a column command, a row command and a second ACT."""


class WatchedDram(Dram):
    """Tells its watchers at the end of the run when data moved."""

    def __init__(self, env: Environment, arch: MachineConfig, num_streams: int, watchers: Sequence[Watcher]) -> None:
        super().__init__(env, arch, num_streams, 1 + CYCLES * COMMANDS_PER_CYCLE * arch.dram.channels)
        self._watchers = watchers
        self._bursts: list[NDArray[np.int64]] = []

    def finish(self, cycles: int) -> None:
        """Let the memory come to the end of the run, and report it."""
        super().finish(cycles)
        num, den = self.core_cycles_per_memory_cycle.as_integer_ratio()
        cycles_moving = np.concatenate([np.empty((0, 2), np.int64), *self._bursts])
        data = np.stack([cycles_moving[:, 0] * num // den, -(-cycles_moving[:, 1] * num // den)], axis=1)
        in_order = data[np.argsort(data[:, 0], kind="stable")]
        for watcher in self._watchers:
            watcher.bus(BusUse("dram", self.preset.access_bytes, in_order, self.open_intervals, cycles))

    def snapshot(self) -> Any:
        """And how many bursts have been recorded."""
        return super().snapshot(), len(self._bursts)

    def restore(self, snapshot: Any) -> None:
        """And drop the bursts recorded since."""
        before, recorded = snapshot
        super().restore(before)
        del self._bursts[recorded:]

    def _simulate(self, first: int, last: int) -> tuple[int, int]:
        self.memory.log[0, 0] = len(self.memory.log)  # full: refreshes of an idle memory, any number, are not looked at
        kernel.catch_up(self.memory, self.state, first)
        while True:
            stop = min(last, max(first, int(self.state.scalars[kernel.CYCLE])) + CYCLES)
            self.memory.log[0, 0] = 0
            completions, remaining = super()._simulate(first, stop)
            self._take_log()
            if completions or not remaining or stop == last:
                return completions, remaining
            first = stop

    def _take_log(self) -> None:
        log, fixed = self.memory.log, self.memory.fixed
        commands = log[1 : 1 + log[0, 0]]
        columns = commands[(commands[:, 1] == RD) | (commands[:, 1] == WR)]
        begin = columns[:, 0] + np.where(columns[:, 1] == WR, fixed[CWL], fixed[CL])
        if len(begin):
            self._bursts.append(np.stack([begin, begin + fixed[BL]], axis=1))
