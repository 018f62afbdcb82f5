"""`dsasim sweep`."""

from typing import Annotated

import typer

from dsasim.errors import ConfigError, DsasimError
from dsasim.report.say import say


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

    if scheduler is None:
        pool: Workers = LocalWorkers(workers or len(os.sched_getaffinity(0)))
    else:
        from dsasim.sweep.cluster import ClusterWorkers

        pool = ClusterWorkers(scheduler)
    try:
        with LateProgress(f"sweep {checked.name}", rate_unit="points") as progress:
            result = run_sweep(checked, folder, pool, resume=resume, progress=progress)
    except KeyboardInterrupt:
        say(f"stopped; the points so far are in {folder}: go on with --resume", err=True)
        raise
    print_sweep(result, folder, new_console())
    if failed := result.with_status("failed"):
        raise DsasimError(f"{len(failed)} of {len(result.seen)} points failed; {folder} says why")
