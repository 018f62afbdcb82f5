"""What a job waits for: operands that will be in their buffers, and room for its output."""

from dataclasses import dataclass
from typing import Protocol

from simpy import Container, Environment, Event


class Ready:
    """An operand that will be in its buffer: its arrival, and when its transfer opened if DMA brings it."""

    __slots__ = ("at", "event", "name", "opened")

    def __init__(self, env: Environment, name: str) -> None:
        self.event = env.event()
        self.name = name
        self.opened: int | None = None
        self.at: int | None = None

    def set(self) -> None:
        """Announce that the operand is complete now."""
        self.at = int(self.event.env.now)
        self.event.succeed()


class Room(Protocol):
    """Somewhere an output can go."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def reserve(self) -> Event:
        """An event that fires when there is room, which is yours from then on."""


class Slots:
    """The slots of a buffer between two units: reserved at a job's start, freed by the end of the last reader."""

    def __init__(self, env: Environment, name: str, count: int) -> None:
        self.name = name
        self.count = count
        self._free = Container(env, capacity=count, init=count)

    def reserve(self) -> Event:
        """An event that fires when a slot is yours."""
        return self._free.get(1)

    def release(self) -> None:
        """Give a slot back."""
        self._free.put(1)


@dataclass(frozen=True)
class After:
    """Room that another job's end makes: a fetch into a pool waits for the part whose keys it may overwrite."""

    ready: Ready
    name: str

    def reserve(self) -> Event:
        """The other job's end."""
        return self.ready.event
