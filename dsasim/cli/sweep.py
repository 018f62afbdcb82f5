"""`dsasim sweep`."""

from contextlib import suppress
from typing import Annotated

import typer

from dsasim.errors import ConfigError, DsasimError
from dsasim.report.say import say

MAX_WARNINGS = 20
"""Rows that are named; a file of another's making may have thousands that are wrong."""


class _RowWarnings:
    """Prints warnings of rows that are not what they should be, on stderr."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, text: str) -> None:
        """Print one line, which stands for all others after MAX_WARNINGS."""
        self._count += 1
        if self._count <= MAX_WARNINGS:
            say(text, err=True)
        elif self._count == MAX_WARNINGS + 1:
            say("further rows are not what they should be, and are made anew", err=True)


def sweep(
    spec: Annotated[str, typer.Argument(metavar="SPEC.yaml", help="Base design, traces, axes and objectives.")],
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the results go; SPEC-results in this folder by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=1024, help="Processes; one a core by default.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="Run on this dask cluster (extra cluster).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a sweep that was stopped.")] = False,
    query: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="Run nothing, ask the results: SELECT … FROM points (extra analysis)."),
    ] = None,
) -> None:
    """Run a design space: all points or some, on all cores, resumable, and print its Pareto front."""
    import os
    from pathlib import Path

    folder = Path(out if out is not None else f"{Path(spec).stem}-results")
    if query is not None:
        from dsasim.report.style import new_console
        from dsasim.report.sweep import print_answer
        from dsasim.sweep.query import query_sweep

        print_answer(query_sweep(folder, query), new_console())
        return
    from dsasim.sweep.spec import load_sweep_spec

    if workers is not None and scheduler is not None:
        raise ConfigError("--workers and --scheduler: a cluster has its own number of workers, leave --workers out")
    checked = load_sweep_spec(spec)

    from dsasim.report.progress import LateProgress
    from dsasim.report.style import new_console
    from dsasim.report.sweep import print_sweep
    from dsasim.sweep.pool import LocalWorkers, Workers
    from dsasim.sweep.runner import run_sweep
    from dsasim.sweep.stop import Stopped, stopped_by_signals

    if scheduler is None:
        pool: Workers = LocalWorkers(workers or len(os.sched_getaffinity(0)))
    else:
        from dsasim.sweep.cluster import ClusterWorkers

        pool = ClusterWorkers(scheduler)
    try:
        with stopped_by_signals(), LateProgress(f"sweep {checked.name}", rate_unit="points") as progress:
            result = run_sweep(checked, folder, pool, resume=resume, progress=progress, warn=_RowWarnings())
    except (KeyboardInterrupt, Stopped):
        with suppress(OSError):  # a terminal that was closed
            say(f"stopped; the points so far are in {folder}: go on with --resume", err=True)
        raise
    print_sweep(result, folder, new_console())
    if failed := result.with_status("failed"):
        raise DsasimError(f"{len(failed)} of {len(result.outcomes)} points failed; {folder} says why")
