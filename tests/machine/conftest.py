"""A memory that takes a fixed time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from simpy import Environment, Event

from dsasim.machine.transfer import Transfer


@dataclass
class FixedMemory:
    """Completes every transfer `latency` cycles after its post."""

    env: Environment
    latency: int
    posts: list[tuple[int, int, int]] = field(default_factory=list)
    """(cycle, stream, bytes) of each post."""

    def post(self, stream: int, transfer: Transfer) -> Event:
        self.posts.append((int(self.env.now), stream, transfer.num_bytes))
        return self.env.timeout(self.latency)


@pytest.fixture
def fixed_memory() -> Callable[..., Any]:
    """A FixedMemory of an environment and a latency."""
    return FixedMemory
