"""`dsasim compare`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dsasim.cli.inputs import DEFAULT_TRACE, Overrides, TraceSelection, open_selection
from dsasim.errors import ConfigError

if TYPE_CHECKING:
    from dsasim.api import RunResult
    from dsasim.config.schema import MachineConfig

MEMORY_BYTES = 512 << 20
"""Of masks and their quality, which designs that predict alike share."""

LAYERS_HELP = "The model's own layer numbers, all by default."


def compare(
    archs: Annotated[list[str], typer.Argument(metavar="ARCH…", help="Shipped designs' names, or YAML files.")],
    trace: Annotated[
        str, typer.Option(metavar="TRACE", help="A shipped trace's name, or a .safetensors file.")
    ] = DEFAULT_TRACE,
    overrides: Overrides = None,
    layers: Annotated[str | None, typer.Option(metavar="0,3", help=LAYERS_HELP)] = None,
    heads: Annotated[
        str | None, typer.Option(metavar="0-3", help="Query heads of each sequence, all by default.")
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the results as `run` does; - for stdout.")
    ] = None,
) -> None:
    """Run several designs on one trace and print them side by side; speed-ups are also against the first."""
    from dsasim.config.changes import changes_of
    from dsasim.config.loader import load_arch
    from dsasim.report.files import STDOUT, check_writable, write_json

    if json is not None:
        check_writable(json, "--json")
    designs = [load_arch(name, overrides or ()) for name in archs]
    selection = open_selection(trace, layers, heads)

    changes = [changes_of(design, overrides or ()) for design in designs]
    results = _run(designs, changes, selection)

    from dsasim.report.compare import comparison_json, print_comparison

    if json is not None:
        write_json(json, "--json", comparison_json(results))
    if json != STDOUT:
        from dsasim.report.style import new_console

        print_comparison(results, new_console())


def _run(
    designs: "Sequence[MachineConfig]", changes: Sequence[Sequence[str]], selection: TraceSelection
) -> "list[RunResult]":
    """Run each design, with one progress bar; an error names its design."""
    # the simulator itself (Numba) is loaded last: what is wrong with the input is said at once
    from dsasim.api import simulate
    from dsasim.report.progress import LateProgress
    from dsasim.trace.cache import MemoryCache

    trace = selection.trace.with_cache(MemoryCache(MEMORY_BYTES))
    results = []
    with LateProgress(f"{len(designs)} designs on {trace.meta.name}") as bar:
        for at, (design, changed) in enumerate(zip(designs, changes, strict=True)):

            def progress(done: int, total: int, at: int = at) -> None:
                bar(at * total + done, len(designs) * total)

            try:
                chosen = (selection.layers, selection.heads)
                results.append(simulate(design, trace, *chosen, progress, changes=changed))
            except ConfigError as error:
                raise ConfigError(*(f"{design.name}: {problem}" for problem in error.args)) from None
    return results
