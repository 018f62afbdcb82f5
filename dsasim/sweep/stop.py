"""SIGTERM and SIGHUP end a sweep as Ctrl-C does: workers ended, rows kept."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOPPING = (signal.SIGTERM, signal.SIGHUP)
"""What `kill`, a container that is stopped, and a terminal that is closed send."""


class Stopped(SystemExit):
    """Asked to end by a signal; the exit status is 128 + its number, as a shell has it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` at the first of these signals, and be deaf to more of them while things are put away.

    One that was ignored before (nohup) stays ignored.
    """
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)
