"""Benchmarks count CPU seconds, and say at the end what they did in one."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A line a benchmark: amounts per CPU second, from its median round."""
    session = getattr(config, "_benchmarksession", None)
    lines = [
        f"{bench.name:40} {amount / 1e6:10.2f} M {what.removesuffix('_per_second').replace('_', ' ')}"
        for bench in (session.benchmarks if session is not None else ())
        for what, amount in bench.extra_info.items()
    ]
    if lines:
        terminalreporter.section("per CPU second")
        terminalreporter.write_line("\n".join(lines))
