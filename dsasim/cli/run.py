"""`dsasim run`."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dsasim.cli.inputs import DEFAULT_ARCH, DEFAULT_TRACE, Arch, Overrides, Trace, open_selection, refuse_design
from dsasim.errors import ConfigError

if TYPE_CHECKING:
    from dsasim.api import RunResult
    from dsasim.machine.watcher import Watcher
    from dsasim.sim.over_time import OverTime


def run(
    arch: Arch = DEFAULT_ARCH,
    trace: Trace = DEFAULT_TRACE,
    overrides: Overrides = None,
    layers: Annotated[
        str | None, typer.Option(metavar="0,3", help="The model's own layer numbers, all by default.")
    ] = None,
    heads: Annotated[
        str | None, typer.Option(metavar="0-3", help="Query heads of each sequence, all by default.")
    ] = None,
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
        str | None,
        typer.Option(metavar="0:3,5:1", help="LAYER:HEAD (or LAYER:HEAD:SEQUENCE) whose masks the report shows."),
    ] = None,
) -> None:
    """Run a design on a trace: cycles, speed-up, energy, area, and what the approximation did."""
    from dsasim.report.files import STDOUT, check_writable, write_json, write_text

    if json is not None:
        check_writable(json, "--json")
    window = _checked_window(timeline, timeline_window)
    over_time = None if report is None else _report_watcher(report, trace, mask_heads)
    if report is None and mask_heads is not None:
        raise ConfigError("--mask-heads is a part of --report FILE, which is not given")
    watching = _watching(timeline, window, over_time)
    result = _simulate(arch, trace, overrides or (), layers, heads, scope, watching, gpu_profile or ())
    values = result.to_json()
    if report is not None:
        from dsasim.report.html.masks import mask_pictures
        from dsasim.report.html.run import run_page

        page = run_page(values, over_time, mask_pictures(values, trace, mask_heads))
        write_text(report, "--report", page.html())
    if json is not None:
        write_json(json, "--json", values)
    if json != STDOUT:
        from dsasim.report.style import new_console
        from dsasim.report.text import print_result

        print_result(result, new_console())


def _simulate(
    arch: str,
    trace: str,
    overrides: Sequence[str],
    layers: str | None,
    heads: str | None,
    scope: Literal["attention", "layer", "model"],
    watching: "AbstractContextManager[Sequence[Watcher]]",
    gpu_profiles: Sequence[str],
) -> "RunResult":
    """Load both, check the selection against the trace, and run with a progress bar."""
    from dsasim.config.changes import changes_of
    from dsasim.config.loader import load_arch

    design = load_arch(arch, overrides)
    changes = changes_of(design, overrides)
    chosen = open_selection(trace, layers, heads)

    # the simulator itself (Numba) is loaded last: what is wrong with the input is said at once
    from dsasim.baseline.gpu_profile import compared_gpus

    gpus = compared_gpus(gpu_profiles)

    from dsasim.api import simulate
    from dsasim.report.progress import LateProgress

    with LateProgress(f"{design.name} on {chosen.trace.meta.name}") as progress, watching as watchers:
        return simulate(
            design, chosen.trace, chosen.layers, chosen.heads, progress, scope, watchers, gpus=gpus, changes=changes
        )


@contextmanager
def _watching(
    timeline: str | None, window: tuple[int, int] | None, over_time: "OverTime | None"
) -> "Iterator[Sequence[Watcher]]":
    """The watchers of a run: a writer of timelines, `over_time` for a report, both, or none."""
    others = () if over_time is None else (over_time,)
    if timeline is None:
        yield others
        return
    from dsasim.report.files import open_output
    from dsasim.sim.timeline import Timeline

    with open_output(timeline, "--timeline") as out, Timeline(out, window) as writer:
        yield (writer, *others)


def _report_watcher(report: str, trace: str, mask_heads: str | None) -> "OverTime":
    """What a report needs to have seen; ConfigError if the page could not be written or lacks a head."""
    from dsasim.report.files import PAGE, STDOUT, check_writable
    from dsasim.report.html.page import check_plotly
    from dsasim.sim.over_time import OverTime

    if report == STDOUT:
        raise ConfigError("--report -: a page is written to a file, not to stdout")
    check_plotly()
    check_writable(report, "--report", PAGE)
    if mask_heads is not None:
        from dsasim.report.html.masks import parse_heads
        from dsasim.trace.find import find_trace
        from dsasim.trace.store import open_trace

        refuse_design(trace)
        parse_heads(mask_heads, open_trace(find_trace(trace)))
    return OverTime()


def _checked_window(timeline: str | None, window: str | None) -> tuple[int, int] | None:
    """The cycles that a timeline shows; ConfigError if it cannot be written, or is not asked for."""
    from dsasim.report.files import STDOUT, TIMELINE, check_writable

    found = None if window is None else parse_window(window, "--timeline-window")
    if timeline == STDOUT:
        raise ConfigError("--timeline -: a timeline is written to a file, not to stdout")
    if timeline is not None:
        check_writable(timeline, "--timeline", TIMELINE)
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
