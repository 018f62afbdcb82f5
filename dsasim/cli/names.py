"""`dsasim list` and `dsasim explain`: what there is, and what a name means."""

from typing import Annotated, Literal

import typer

from dsasim.cli.inputs import DEFAULT_ARCH

NameKind = Literal["designs", "methods", "selectors", "dataflows", "traces", "memories", "metrics"]


def list_names(
    kind: Annotated[NameKind, typer.Argument(help="What to list; parts that come by --plugin are there too.")],
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write the names; - for stdout.")] = None,
) -> None:
    """List what there is of a kind: its name, where it comes from, and what it is."""
    from dsasim.report.files import STDOUT, check_writable, write_json
    from dsasim.report.names import entries, print_entries

    if json is not None:
        check_writable(json, "--json")
    found = entries(kind)
    if json is not None:
        write_json(json, "--json", [entry._asdict() for entry in found])
    if json != STDOUT:
        from dsasim.report.style import new_console

        print_entries(found, new_console())


def explain(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key of a design, a metric, an event or a stall reason.")],
    arch: Annotated[
        str,
        typer.Option("--design", metavar="ARCH", help="The design that says which keys there are."),
    ] = DEFAULT_ARCH,
) -> None:
    """Say what a name means: what a key may hold, what a metric or an event is, who owns a stall."""
    from dsasim.config.loader import load_arch
    from dsasim.report.explain import explained
    from dsasim.report.style import new_console

    console = new_console()
    for line in explained(key, load_arch(arch)):
        console.print(line)
