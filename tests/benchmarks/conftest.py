"""Benchmarks count CPU seconds, and say at the end what they did in one."""

from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A line a benchmark: amounts per CPU second, from its median round; of DRAM traces one table, ready to paste."""
    session = getattr(config, "_benchmarksession", None)
    found = list(session.benchmarks) if session is not None else []
    replays = [bench for bench in found if {"trace", "use"} <= set(bench.params or ())]
    lines = [
        f"{bench.name:40} {amount:10.2f} µs a job"
        if what == "us_a_job"
        else f"{bench.name:40} {amount / 1e6:10.2f} M {what.removesuffix('_per_second').replace('_', ' ')}"
        for bench in found
        if bench not in replays
        for what, amount in bench.extra_info.items()
    ]
    if lines:
        terminalreporter.section("per CPU second")
        terminalreporter.write_line("\n".join(lines))
    if replays:
        terminalreporter.section("M requests per CPU second, best of some rounds")
        terminalreporter.write_line("\n".join(speed_table(replays)))


def speed_table(replays: list[Any]) -> list[str]:
    """Markdown: a row a trace, a column a memory; a row that was not run has a dash."""
    speeds = {
        (bench.params["trace"], bench.params["use"]): bench.extra_info["requests_per_second"] / 1e6 for bench in replays
    }
    uses, names = (list(dict.fromkeys(bench.params[key] for bench in replays)) for key in ("use", "trace"))
    width = max(len(name) for name in names)
    rows = [f"| {'trace':{width}} | {' | '.join(uses)} |", f"|{'-' * (width + 2)}|{'---:|' * len(uses)}"]
    for name in names:
        cells = [f"{speeds[name, use]:{len(use)}.2f}" if (name, use) in speeds else "-".rjust(len(use)) for use in uses]
        rows.append(f"| {name:{width}} | {' | '.join(cells)} |")
    return rows
