"""The `dsasim` command. Heavy imports are inside the commands: `--help` must not wait for NumPy or Numba."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dsasim.cli_inputs import DEFAULT_ARCH, DEFAULT_TRACE, Arch, Overrides, Trace, open_selection, refuse_design
from dsasim.cli_trace import trace_app
from dsasim.commands_compare import compare
from dsasim.commands_evaluate import trace_evaluate
from dsasim.commands_report import report as report_command
from dsasim.commands_sweep import sweep
from dsasim.commands_validate import validate
from dsasim.errors import ConfigError, DsasimError

if TYPE_CHECKING:
    from dsasim.api import RunResult
    from dsasim.model.probe import Probe
    from dsasim.sim.over_time import OverTime

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
arch_app = typer.Typer(no_args_is_help=True, help="Look at designs: shipped ones by name, others by file.")
app.add_typer(arch_app, name="arch")
app.add_typer(trace_app, name="trace")
trace_app.command("evaluate")(trace_evaluate)


class Page(StrEnum):
    """What becomes of a DRAM row after an access."""

    OPEN = "open"
    CLOSED = "closed"


def main() -> None:
    """Run the command line; exit status 0 done, 2 bad input, 1 failed run, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # a terminal without µ or ² shows a question mark, not a traceback
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except DsasimError as error:
        _print_error(str(error))
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # stdout left (`dsasim … | head`: say nothing) or filled up; the interpreter must find nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _print_error(str(error))
        sys.exit(1)


def _print_error(message: str) -> None:
    problems = message.split("\n")
    if len(problems) > 1:
        message = "\n  ".join((f"{len(problems)} problems", *problems))
    sys.stderr.write(f"dsasim: error: {message}\n")


def _print_version(wanted: bool) -> None:
    if wanted:
        from dsasim import __version__

        typer.echo(f"dsasim {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Simulate an accelerator for dynamic sparse attention on attention taken from a real model."""


@app.command()
def run(
    arch: Arch = DEFAULT_ARCH,
    trace: Trace = DEFAULT_TRACE,
    overrides: Overrides = None,
    layers: Annotated[
        str | None, typer.Option(metavar="0,3", help="The model's own layer numbers, all by default.")
    ] = None,
    heads: Annotated[str | None, typer.Option(metavar="0-3", help="Query heads, all by default.")] = None,
    scope: Annotated[
        Literal["attention", "layer", "model"],
        typer.Option(help="Attention alone, with its layers' projections and feed-forward part, or all layers."),
    ] = "attention",
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write the whole result; - for stdout.")] = None,
    timeline: Annotated[
        str | None,
        typer.Option(metavar="F.json.gz", help="Write what every unit did when, for https://ui.perfetto.dev."),
    ] = None,
    timeline_window: Annotated[
        str | None, typer.Option(metavar="FIRST:LAST", help="Cycles that the timeline shows, all by default.")
    ] = None,
    gpu_profile: Annotated[
        list[str] | None,
        typer.Option(metavar="F.json", help="Compare with a GPU measured by `dsasim validate --profile`; repeatable."),
    ] = None,
    report: Annotated[
        str | None, typer.Option(metavar="F.html", help="Write one page of pictures of the run (extra report).")
    ] = None,
    mask_heads: Annotated[
        str | None, typer.Option(metavar="0:3,5:1", help="LAYER:HEAD whose masks the report shows.")
    ] = None,
) -> None:
    """Run a design on a trace: cycles, speed-up, energy, area, and what the approximation did."""
    from json import dumps

    from dsasim.report.files import STDOUT, check_writable, write_text

    if json is not None:
        check_writable(json, "--json")
    window = _checked_window(timeline, timeline_window)
    over_time = None if report is None else _report_onlooker(report, trace, mask_heads)
    if report is None and mask_heads is not None:
        raise ConfigError("--mask-heads is a part of --report FILE, which is not given")
    onlooker = _onlooker(timeline, window, over_time)
    result = _simulate(arch, trace, overrides or (), layers, heads, scope, onlooker, gpu_profile or ())
    values = result.to_json()
    if report is not None:
        from dsasim.report.html.masks import mask_pictures
        from dsasim.report.html.run import run_page

        page = run_page(values, over_time, mask_pictures(values, trace, mask_heads))
        write_text(report, "--report", page.html())
    if json is not None:
        write_text(json, "--json", dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    if json != STDOUT:
        from dsasim.report.style import new_console
        from dsasim.report.text import print_result

        print_result(result, new_console())


# in the order of --help, between run and dram
app.command()(compare)
app.command()(sweep)
app.command("report")(report_command)
app.command()(validate)


def _show_preset(name: str | None) -> None:
    if name is None:
        return
    from dsasim.model.dram_preset import find_preset
    from dsasim.report.dram import print_preset
    from dsasim.report.style import new_console

    print_preset(name, find_preset(name), new_console())
    raise typer.Exit


@app.command()
def dram(
    trace: Annotated[str, typer.Argument(metavar="TRACE.csv", help="Requests op,addr,not_before, also .csv.gz.")],
    preset: Annotated[str, typer.Option(help="Such as DDR4_2400, DDR4_3200, LPDDR5_6400, GDDR6, HBM2, HBM3.")],
    mapping: Annotated[
        str, typer.Option(metavar="ORDER", help="mop4, or fields such as row-bank-bankgroup-rank-column.")
    ],
    channels: Annotated[int, typer.Option(min=1, max=64)] = 1,
    ranks: Annotated[int, typer.Option(min=1, max=8, help="A channel.")] = 1,
    inject: Annotated[
        int | None,
        typer.Option(min=1, max=4096, metavar="W", help="Requests offered a cycle; one a channel by default."),
    ] = None,
    page: Annotated[Page, typer.Option(help="Whether a row stays open after an access.")] = Page.OPEN,
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
    from json import dumps
    from pathlib import Path

    from dsasim.report.files import STDOUT, check_writable, write_text

    if json is not None:
        check_writable(json, "--json")
        if Path(json).resolve() == Path(trace).resolve():
            raise ConfigError(f"--json {json}: would overwrite the trace that is replayed")
    from dsasim.model.dram_memory import MemoryUse
    from dsasim.model.dram_preset import find_preset
    from dsasim.model.dram_replay import replay_trace
    from dsasim.report.progress import LateProgress, with_progress
    from dsasim.trace.requests import read_requests

    memory, use = find_preset(preset), MemoryUse(mapping, channels, ranks, refresh, page.value)
    with LateProgress(f"replaying {trace}") as progress:
        parts = with_progress(read_requests(Path(trace), memory.access_bytes), progress)
        result = replay_trace(memory, use, parts, inject or channels)
    if json is not None:
        head = {
            "preset": preset,
            "mapping": mapping,
            "channels": channels,
            "ranks": ranks,
            "inject": inject or channels,
        }
        head |= {"page": page.value, "refresh": refresh}
        sources = {"dram_sources": [group.to_json() for group in memory.sources]}
        write_text(json, "--json", dumps(head | result.to_json() | sources, indent=2) + "\n")
    if json != STDOUT:
        from dsasim.report.dram import print_replay
        from dsasim.report.style import new_console

        print_replay(result, preset, memory, use, new_console())


@arch_app.command("list")
def arch_list() -> None:
    """List the shipped designs."""
    from dsasim.config.loader import list_archs
    from dsasim.report.listing import print_archs
    from dsasim.report.style import new_console

    print_archs(list_archs(), new_console())


@arch_app.command("show")
def arch_show(arch: Arch = DEFAULT_ARCH, overrides: Overrides = None) -> None:
    """Print a design as YAML, every value resolved and `--set` applied."""
    from dsasim.config.loader import load_arch
    from dsasim.config.resolved import arch_to_yaml

    typer.echo(arch_to_yaml(load_arch(arch, overrides or ())), nl=False)


@arch_app.command("check")
def arch_check(arch: Arch, overrides: Overrides = None) -> None:
    """Say OK, or everything that is wrong with a design and where."""
    from dsasim.config.loader import load_arch
    from dsasim.model.dram_memory import check_memory

    design = load_arch(arch, overrides or ())
    check_memory(design.dram)
    typer.echo(f"OK: {arch} is the design {design.name}")


def _simulate(
    arch: str,
    trace: str,
    overrides: Sequence[str],
    layers: str | None,
    heads: str | None,
    scope: Literal["attention", "layer", "model"],
    onlooker: "AbstractContextManager[Probe]",
    gpu_profiles: Sequence[str],
) -> "RunResult":
    """Load both, check the selection against the trace, and run with a progress bar."""
    from dsasim.config.loader import load_arch

    design = load_arch(arch, overrides)
    chosen = open_selection(trace, layers, heads)

    # the simulator itself (Numba) is loaded last: what is wrong with the input is said at once
    from dsasim.baseline.gpu_profile import compared_gpus

    gpus = compared_gpus(gpu_profiles)

    from dsasim.api import simulate
    from dsasim.report.progress import LateProgress

    with LateProgress(f"{design.name} on {chosen.trace.meta.name}") as progress, onlooker as probe:
        return simulate(design, chosen.trace, chosen.layers, chosen.heads, progress, scope, probe, gpus=gpus)


@contextmanager
def _onlooker(timeline: str | None, window: tuple[int, int] | None, over_time: "OverTime | None") -> "Iterator[Probe]":
    """What looks on while a run is simulated: a writer of timelines, `over_time` for a report, both, or nobody."""
    from dsasim.model.probe import NO_PROBE

    if timeline is None:
        yield over_time or NO_PROBE
        return
    from dsasim.report.files import open_output
    from dsasim.sim.both import Both
    from dsasim.sim.timeline import Timeline

    with open_output(timeline, "--timeline") as out, Timeline(out, window) as probe:
        yield probe if over_time is None else Both(probe, over_time)


def _report_onlooker(report: str, trace: str, mask_heads: str | None) -> "OverTime":
    """What a report needs to have seen; ConfigError if the page could not be written or lacks a head."""
    from dsasim.report.files import STDOUT, check_writable
    from dsasim.report.html.page import check_plotly
    from dsasim.sim.over_time import OverTime

    if report == STDOUT:
        raise ConfigError("--report -: a page is written to a file, not to stdout")
    check_plotly()
    check_writable(report, "--report")
    if mask_heads is not None:
        from dsasim.report.html.masks import parse_heads
        from dsasim.trace.find import find_trace
        from dsasim.trace.store import open_trace

        refuse_design(trace)
        parse_heads(mask_heads, open_trace(find_trace(trace)))
    return OverTime()


def _checked_window(timeline: str | None, window: str | None) -> tuple[int, int] | None:
    """The cycles that a timeline shows; ConfigError if it cannot be written, or is not asked for."""
    from dsasim.report.files import STDOUT, check_writable

    found = None if window is None else parse_window(window, "--timeline-window")
    if timeline == STDOUT:
        raise ConfigError("--timeline -: a timeline is written to a file, not to stdout")
    if timeline is not None:
        check_writable(timeline, "--timeline")
    elif found is not None:
        raise ConfigError("--timeline-window is a part of --timeline FILE, which is not given")
    return found


def parse_window(text: str, flag: str) -> tuple[int, int]:
    """Return the cycles that `text` names: `1000:1999`. Raises ConfigError naming `flag` if it cannot be read."""
    first, colon, last = text.partition(":")
    if not (colon and all(word.isascii() and word.isdigit() and len(word) <= 15 for word in (first, last))):
        raise ConfigError(f"{flag} {text}: expected the first and the last cycle, such as 1000:1999")
    if int(first) > int(last):
        raise ConfigError(f"{flag} {text}: the window ends before it begins")
    return int(first), int(last)
