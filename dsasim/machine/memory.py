"""What the engine asks of a memory."""

from typing import Protocol

from simpy import Event

from dsasim.machine.transfer import Transfer


class Memory(Protocol):
    """Takes transfers of several streams and says when each has moved."""

    def post(self, stream: int, transfer: Transfer) -> Event:
        """Hand over a transfer of at least one byte; the event fires when its last byte has moved."""

    def bursts(self, transfer: Transfer) -> int:
        """Bursts that a transfer takes."""
