"""The progress bar appears late, on a terminal only."""

import io

import pytest
from rich.console import Console

from dsasim.report import progress
from dsasim.report.progress import LateProgress


def shown(*, terminal: bool, after: float, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ten steps print if the bar is due `after` seconds."""
    monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", after)
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    with LateProgress("a run", console) as bar:
        for step in range(10):
            bar(step, 10)
    return stream.getvalue()


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(terminal=True, after=60, monkeypatch=monkeypatch) == ""


def test_a_pipe_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(terminal=False, after=-1, monkeypatch=monkeypatch) == ""


def test_long_work_shows_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a run" in shown(terminal=True, after=-1, monkeypatch=monkeypatch)
