"""Where an output can go; a job that must wait for it feels back-pressure.

A job takes space at its start and whoever reads the output last gives it back. The jobs of one unit alone take from a
buffer: with two takers the first to arrive would win, and results would depend on the order of simultaneous events.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from simpy import Environment, Event

from dsasim.errors import DesignError
from dsasim.machine.token import Token
from dsasim.machine.watcher import Watcher


class Space(Protocol):
    """Somewhere an output can go."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def take(self, env: Environment, unit: str, /) -> Event | None:
        """An event that fires when there is space, which is the unit's from then on; None if it is at once."""


class Releasable(Protocol):
    """Space that can be given back."""

    def release(self) -> None:
        """Give it back, now."""


class Buffer:
    """Space for an amount: of bytes, of pages, of slots.

    Takers queue in order, so that a small one does not overtake a large one. Worked example: of 10 bytes 8 are taken;
    a taker of 4 waits although 2 are free, and gets them when the 8 come back.
    """

    def __init__(self, env: Environment, name: str, size: int, watchers: Sequence[Watcher] = ()) -> None:
        self.name = name
        self.size = size
        self.free = size
        self._env = env
        self._taker: str | None = None
        self._waiting: deque[tuple[int, Event]] = deque()
        self._watchers = watchers
        self._tell()

    def take(self, amount: int, unit: str) -> Event | None:
        """An event that fires when the amount is the unit's; None if it is at once. DesignError for a second taker."""
        if self._taker not in (None, unit):
            raise DesignError(f"{self.name}: both {self._taker} and {unit} take space; only one unit may")
        self._taker = unit
        if not self._waiting and amount <= self.free:
            self._move(-amount)
            return None
        granted = self._env.event()
        self._waiting.append((amount, granted))
        return granted

    def release(self, amount: int) -> None:
        """Give an amount back."""
        self._move(amount)
        while self._waiting and self._waiting[0][0] <= self.free:
            wanted, granted = self._waiting.popleft()
            self._move(-wanted)
            granted.succeed()

    def _move(self, amount: int) -> None:
        self.free += amount
        if self.free > self.size:
            raise DesignError(f"{self.name}: more is given back than was taken")
        self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher.taken(self.name, int(self._env.now), self.size - self.free)


@dataclass(frozen=True, slots=True)
class Take:
    """An amount of a buffer; DesignError, where it is declared, if the buffer could never hold it."""

    buffer: Buffer
    amount: int = 1

    def __post_init__(self) -> None:
        if self.amount > self.buffer.size:
            raise DesignError(f"{self.name}: {self.amount} are wanted of a buffer of {self.buffer.size}")

    @property
    def name(self) -> str:
        """The buffer's."""
        return self.buffer.name

    def take(self, _env: Environment, unit: str, /) -> Event | None:
        """See `Space`."""
        return self.buffer.take(self.amount, unit)

    def release(self) -> None:
        """Give the amount back."""
        self.buffer.release(self.amount)


@dataclass(frozen=True, slots=True)
class After:
    """Space that another job's end makes: a fetch waits for the job whose keys it may overwrite."""

    token: Token
    name: str

    def take(self, env: Environment, _unit: str, /) -> Event | None:
        """The other job's end."""
        return self.token.wait(env)


class Shared:
    """Space that several jobs read, of whatever units; the last of its `readers` gives it back."""

    def __init__(self, space: Releasable, readers: int) -> None:
        self._space = space
        self._left = readers

    def release(self) -> None:
        """One reader has ended."""
        self._left -= 1
        if self._left == 0:
            self._space.release()
