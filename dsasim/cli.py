"""The `dsasim` command. Heavy imports are inside the commands: `--help` must not wait for NumPy or Numba."""

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dsasim.errors import ConfigError, DsasimError, TraceError

if TYPE_CHECKING:
    from dsasim.api import RunResult
    from dsasim.trace.attention import AttentionTrace

DEFAULT_ARCH = "dsa-decoupled"
DEFAULT_TRACE = "smollm2-l512"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
arch_app = typer.Typer(no_args_is_help=True, help="Look at designs: shipped ones by name, others by file.")
trace_app = typer.Typer(no_args_is_help=True, help="Look at and make attention traces.")
app.add_typer(arch_app, name="arch")
app.add_typer(trace_app, name="trace")

Arch = Annotated[str, typer.Argument(metavar="ARCH", help="A shipped design's name, or a YAML file.")]
Trace = Annotated[str, typer.Argument(metavar="TRACE", help="A shipped trace's name, or a .safetensors file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the design; may be repeated, the last wins."),
]


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
) -> None:
    """Run a design on a trace: cycles, speed-up, energy, area, and what the approximation did."""
    from json import dumps

    from dsasim.report.files import STDOUT, check_writable, write_text

    if json is not None:
        check_writable(json, "--json")
    result = _simulate(arch, trace, overrides or (), layers, heads, scope)
    if json is not None:
        write_text(json, "--json", dumps(result.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    if json != STDOUT:
        from dsasim.report.style import new_console
        from dsasim.report.text import print_result

        print_result(result, new_console())


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
) -> None:
    """Replay a request trace on the memory model alone: cycles, bandwidth, row hits, commands, latencies."""
    from json import dumps
    from pathlib import Path

    from dsasim.report.files import STDOUT, check_writable, write_text

    if json is not None:
        check_writable(json, "--json")
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
        write_text(json, "--json", dumps(head | result.to_json(), indent=2) + "\n")
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

    typer.echo(f"OK: {arch} is the design {load_arch(arch, overrides or ()).name}")


@trace_app.command("info")
def trace_info(trace: Trace = DEFAULT_TRACE) -> None:
    """Print a trace's shape, kind, provenance, and the share of keys that hold 90, 95 and 99 % of the mass."""
    from dsasim.report.listing import print_trace_info
    from dsasim.report.style import new_console
    from dsasim.trace.find import find_trace
    from dsasim.trace.info import trace_info as describe
    from dsasim.trace.store import open_trace

    _refuse_design(trace)
    print_trace_info(describe(open_trace(find_trace(trace))), new_console())


@trace_app.command("import-mask")
def trace_import_mask(
    mask: Annotated[str, typer.Argument(metavar="MASK.npy", help="Boolean, layers × heads × L_q × L_k, True = kept.")],
    d_head: Annotated[int, typer.Option(min=1, max=1 << 16, help="Numbers in one query, key or value vector.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="The trace to write (.safetensors).")],
    causal: Annotated[bool, typer.Option("--causal", help="Only keys up to the query's own position exist.")] = False,
    kv_heads: Annotated[int | None, typer.Option(min=1, help="Key-value heads; as many as heads by default.")] = None,
    pruned_is_true: Annotated[bool, typer.Option("--pruned-is-true", help="True means pruned in this file.")] = False,
) -> None:
    """Make a trace of kind mask from keep masks made elsewhere."""
    from pathlib import Path

    from dsasim.report.files import STDOUT, check_writable
    from dsasim.trace.masks import import_mask

    if out == STDOUT:
        raise ConfigError("--out -: a trace is written to a file, not to stdout")
    check_writable(out, "--out")
    source, target = Path(mask), Path(out)
    import_mask(source, d_head, target, causal=causal, num_kv_heads=kv_heads, pruned_is_true=pruned_is_true)
    typer.echo(f"wrote {out}")


@trace_app.command("extract")
def trace_extract(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A Hugging Face model folder, an installed model package, or module:function that returns a model and "
            "its inputs (a dict, a tuple, a tensor, or a function of the model that runs it).",
        ),
    ],
    out: Annotated[str, typer.Option(metavar="FILE", help="The trace to write (.safetensors).")],
    layers: Annotated[str | None, typer.Option(metavar="0,3", help="Layers kept, all by default.")] = None,
    heads: Annotated[str | None, typer.Option(metavar="0-3", help="Query heads kept, all by default.")] = None,
    rows: Annotated[str | None, typer.Option(metavar="96-127", help="Query rows kept, all by default.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Length of the input text of a model folder or package.")] = 128,
    text: Annotated[str | None, typer.Option(metavar="FILE", help="Its text; that of pydoc_data by default.")] = None,
    sample: Annotated[int, typer.Option(min=0, help="Element of the batch.")] = 0,
    step: Annotated[int, typer.Option(min=0, help="Forward pass, when SOURCE runs several.")] = 0,
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="What is stored.")] = "float16",
) -> None:
    """Run a PyTorch model and store its attention as a trace (needs the extra `torch`)."""
    from pathlib import Path

    from dsasim.report.files import STDOUT, check_writable
    from dsasim.trace.capture import needs_torch
    from dsasim.trace.capture.selection import Selection, parse_numbers

    if out == STDOUT:
        raise ConfigError("--out -: a trace is written to a file, not to stdout")
    check_writable(out, "--out")
    selection = Selection(
        layers=None if layers is None else parse_numbers(layers, "--layers"),
        heads=None if heads is None else parse_numbers(heads, "--heads"),
        rows=None if rows is None else parse_numbers(rows, "--rows"),
        sample=sample,
        step=step,
    )
    needs_torch()
    from dsasim.trace.capture.extract import extract

    for line in extract(source, Path(out), selection, tokens, None if text is None else Path(text), dtype):
        typer.echo(line, err=not line.startswith("wrote"))


def _simulate(
    arch: str,
    trace: str,
    overrides: Sequence[str],
    layers: str | None,
    heads: str | None,
    scope: Literal["attention", "layer", "model"],
) -> "RunResult":
    """Load both, check the selection against the trace, and run with a progress bar."""
    from dsasim.config.loader import load_arch
    from dsasim.trace.find import find_trace
    from dsasim.trace.store import open_trace

    design = load_arch(arch, overrides)
    _refuse_design(trace)
    opened = open_trace(find_trace(trace))
    chosen_layers = None if layers is None else parse_numbers(layers, "--layers", opened.layer_numbers)
    chosen_heads = None if heads is None else parse_numbers(heads, "--heads", _common_heads(opened, chosen_layers))

    # the simulator itself (Numba) is loaded last: what is wrong with the input is said at once
    from dsasim.api import simulate
    from dsasim.report.progress import LateProgress

    with LateProgress(f"{design.name} on {opened.meta.name}") as progress:
        return simulate(design, opened, layers=chosen_layers, heads=chosen_heads, progress=progress, scope=scope)


def parse_numbers(text: str, flag: str, existing: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers that `text` names, ascending and once each: `0,3` or `0-3,8`.

    Raises ConfigError naming `flag` if it cannot be read or names what is not in `existing`.
    """
    known, chosen = set(existing), set[int]()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        low, high = (_whole(word, text, flag) for word in (first, last if dash else first))
        if low > high:
            raise ConfigError(f"{flag} {text}: the range {part.strip()} runs backwards")
        # compared by count first: 0-999999999 must not be walked
        inside = {number for number in known if low <= number <= high}
        if len(inside) != high - low + 1:
            raise ConfigError(f"{flag} {text}: {part.strip()} is not in this trace, which has {_ranges(existing)}")
        chosen |= inside
    return tuple(sorted(chosen))


def _whole(word: str, text: str, flag: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 9):
        raise ConfigError(f"{flag} {text}: expected numbers and ranges such as 0,3 or 0-3")
    return int(word)


def _ranges(numbers: Sequence[int]) -> str:
    """Say `0-8` or `13, 18, 29`."""
    ordered = sorted(numbers)
    if len(ordered) > 1 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]}-{ordered[-1]}"
    return ", ".join(map(str, ordered))


def _common_heads(trace: "AttentionTrace", layers: Sequence[int] | None) -> range:
    """Query heads that every chosen layer has."""
    return range(min(trace.layer(number).num_heads for number in layers or trace.layer_numbers))


def _refuse_design(trace: str) -> None:
    from dsasim.config.loader import list_archs

    if trace in {shipped.name for shipped in list_archs()}:
        raise TraceError(f"{trace!r} is a design, not a trace: `dsasim run` takes the design first, then the trace")
