"""`dsasim dram`."""

from enum import StrEnum
from typing import Annotated

import typer

from dsasim.errors import ConfigError
from dsasim.inputs.printable import printable
from dsasim.inputs.stream import WAIT_SECONDS

TRACE_HELP = (
    "Requests op,addr,not_before, also .csv.gz; a file, or a pipe such as /dev/stdin that brings something at least "
    f"every {WAIT_SECONDS} s."
)


class PagePolicy(StrEnum):
    """What becomes of a DRAM row after an access."""

    OPEN = "open"
    CLOSED = "closed"


def _show_preset(name: str | None) -> None:
    """Print a preset and exit, if one is named."""
    if name is None:
        return
    from dsasim.model.dram_preset import find_preset
    from dsasim.report.dram import print_preset
    from dsasim.report.style import new_console

    print_preset(name, find_preset(name), new_console())
    raise typer.Exit


def dram(
    trace: Annotated[str, typer.Argument(metavar="TRACE.csv", help=TRACE_HELP)],
    preset: Annotated[str, typer.Option(help="Such as DDR4_2400, DDR4_3200, LPDDR5_6400, GDDR6, HBM2, HBM3.")],
    mapping: Annotated[
        str, typer.Option(metavar="ORDER", help="mop4, or fields such as row-bank-bankgroup-rank-column.")
    ],
    channels: Annotated[int, typer.Option(min=1, max=64)] = 1,
    ranks: Annotated[int, typer.Option(min=1, max=8, help="A channel: 1, 2, 4 or 8.")] = 1,
    inject: Annotated[
        int | None,
        typer.Option(min=1, max=4096, metavar="W", help="Requests offered a cycle; one a channel by default."),
    ] = None,
    page: Annotated[PagePolicy, typer.Option(help="Whether a row stays open after an access.")] = PagePolicy.OPEN,
    refresh: Annotated[bool, typer.Option("--refresh/--no-refresh", help="All banks every nREFI.")] = True,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write the whole result; - for stdout.")] = None,
    _show: Annotated[
        str | None,
        typer.Option(
            "--show",
            metavar="PRESET",
            callback=_show_preset,
            is_eager=True,
            help="Print a preset, the source of each value, and exit.",
        ),
    ] = None,
) -> None:
    """Replay a request trace on the memory model alone: cycles, bandwidth, row hits, commands, latencies."""
    from os.path import realpath
    from pathlib import Path

    from dsasim.report.files import STDOUT, check_writable, write_json

    if json is not None:
        check_writable(json, "--json")
        if json != STDOUT and realpath(json) == realpath(trace):
            raise ConfigError(f"--json {printable(json)}: would overwrite the trace that is replayed")
    from dsasim.model.dram_memory import MemoryUse
    from dsasim.model.dram_preset import find_preset
    from dsasim.model.dram_replay import replay_trace
    from dsasim.report.progress import LateProgress, with_progress
    from dsasim.trace.requests import read_requests

    memory, use = find_preset(preset), MemoryUse(mapping, channels, ranks, refresh, page.value)
    with LateProgress(f"replaying {printable(trace)}") as progress:
        parts = with_progress(read_requests(Path(trace), memory.access_bytes), progress)
        result = replay_trace(memory, use, parts, inject or channels)
    if json is not None:
        head = {"preset": preset, "mapping": mapping, "channels": channels, "ranks": ranks}
        head |= {"inject": inject or channels, "page": page.value, "refresh": refresh}
        sources = {"dram_sources": [group.to_json() for group in memory.sources]}
        write_json(json, "--json", head | result.to_json() | sources)
    if json != STDOUT:
        from dsasim.report.dram import print_replay
        from dsasim.report.style import new_console

        print_replay(result, preset, memory, use, new_console())
