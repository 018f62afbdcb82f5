"""SIGTERM and SIGHUP end a sweep as Ctrl-C does: workers ended, rows kept."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGHUP)
"""What `kill`, a container that is stopped, and a terminal that is closed send."""

DEAF_SECONDS = 5.0
"""After a signal, more of them are not heard while things are put away."""


class Stopped(SystemExit):
    """Totals to end by a signal; the exit status is 128 + its number, as a shell has it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` at one of these signals. One that was ignored before (nohup) stays ignored."""
    heard = -math.inf

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal heard
        now = time.monotonic()
        if now - heard > DEAF_SECONDS:
            heard = now
            raise Stopped(number)

    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
