"""A progress bar with the time left, on stderr, for work that lasts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from dsasim.inputs.printable import printable
from dsasim.report.style import new_console

if TYPE_CHECKING:
    from dsasim.trace.requests import Requests

SHOWN_AFTER_SECONDS = 2.0


class _Rate(ProgressColumn):
    """Steps done a second, since the last half minute."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing as long as it is unknown."""
        return Text(f"{task.speed:.3g} {self._unit}/s" if task.speed else "")


class LateProgress:
    """Call it with (done, total); the bar appears after two seconds, and only on a terminal.

    `rate_unit` names what is counted, for work whose rate is of interest.
    """

    def __init__(self, label: str, console: Console | None = None, rate_unit: str = "") -> None:
        self._console = console or new_console(sys.stderr)
        self._label = printable(label)
        self._rate_unit = rate_unit
        self._begun = time.monotonic()
        self._bar: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        """Take note of `done` of `total` steps."""
        if self._bar is None and self._due():
            self._bar = self._start(total)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with suppress(OSError):  # a terminal that was closed
                self._bar.stop()

    def _due(self) -> bool:
        return self._console.is_terminal and time.monotonic() - self._begun > SHOWN_AFTER_SECONDS

    def _start(self, total: int) -> Progress:
        columns = [TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:.0f} %")]
        if self._rate_unit:
            columns.append(_Rate(self._rate_unit))
        bar = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True, refresh_per_second=4)
        task = bar.add_task(self._label, total=total)
        # the task began when the work did, not when the bar appeared: the time left is right from the first frame
        bar.tasks[task].start_time = bar.get_time() - (time.monotonic() - self._begun)
        bar.start()
        return bar


def with_progress(parts: Iterable[Requests], progress: LateProgress) -> Iterator[Requests]:
    """The parts of a request trace, as they are; `progress` is told how much of the file has been read."""
    for part in parts:
        yield part
        progress(round(1000 * part.share_read), 1000)
