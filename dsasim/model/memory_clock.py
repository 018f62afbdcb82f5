"""One look-ahead for all memories (`model.dram`) of an environment.

A memory simulates ahead of the machine, up to the next event on the calendar or to its first completion, since either
may post something new. Two that did so alone would each stop at the other's wake, for ever. So one clock wakes for all
of them after everything else that happens at a time, lets each simulate as far as the calendar allows, and takes back
what any did beyond the first completion of them all: that memory is put back and simulated to the completion only.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from simpy import Environment, Event
from simpy.events import EventPriority

if TYPE_CHECKING:
    from dsasim.model.dram import Dram

AFTER_EVERYTHING = EventPriority(2)
"""Event priority of a wake-up: SimPy's own are 0 and 1, so at equal times this comes last."""


class MemoryClock:
    """Wakes for all memories of an environment."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._memories: list[Dram] = []
        self._woken_at = -1

    def join(self, memory: Dram) -> None:
        """One more memory."""
        self._memories.append(memory)

    def wake(self, delay: int) -> None:
        """Look at all memories in so many cycles, at the latest."""
        at = int(self._env.now) + delay
        if at == self._woken_at:
            return
        self._woken_at = at
        wake = Event(self._env)
        wake._ok = True
        wake._value = None
        wake.callbacks = [self._advance]
        self._env.schedule(wake, AFTER_EVERYTHING, delay)

    def _advance(self, _: Event) -> None:
        now = int(self._env.now)
        if now != self._woken_at:
            return
        self._woken_at = -1
        for memory in self._memories:
            memory.take_posts(now)
        self._simulate(now, self._env.peek())
        for memory in self._memories:
            memory.complete(now)
        if any(memory.remaining for memory in self._memories):
            self.wake(int(self._env.peek()) - now)

    def _simulate(self, now: int, upcoming: float) -> None:
        """Let all come to the same time: the next event, or the first completion of any."""
        busy = [memory for memory in self._memories if memory.remaining]
        if len(busy) == 1:
            busy[0].simulate(now, upcoming)
            return
        before = [memory.snapshot() for memory in busy]
        for memory in busy:
            memory.simulate(now, upcoming)
        first = min((memory.first_ready for memory in busy), default=inf)
        for memory, snapshot in zip(busy, before, strict=True):
            if memory.is_beyond(first):
                memory.restore(snapshot)
                memory.simulate(now, first)


_CLOCKS: WeakKeyDictionary[Environment, MemoryClock] = WeakKeyDictionary()


def clock_of(env: Environment) -> MemoryClock:
    """The clock of an environment."""
    return _CLOCKS.setdefault(env, MemoryClock(env))
