"""The `dsasim` command. Heavy imports are inside the commands: `--help` must not wait for NumPy or Numba."""

import os
import sys
from typing import Annotated

import typer

from dsasim.cli.arch import arch_app
from dsasim.cli.compare import compare
from dsasim.cli.dram import dram
from dsasim.cli.evaluate import trace_evaluate
from dsasim.cli.names import explain, list_names
from dsasim.cli.report import report
from dsasim.cli.run import run
from dsasim.cli.sweep import sweep
from dsasim.cli.trace import trace_app
from dsasim.cli.validate import validate
from dsasim.errors import DsasimError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # every command inherits them
)
app.add_typer(arch_app, name="arch")
app.add_typer(trace_app, name="trace")
trace_app.command("evaluate")(trace_evaluate)
for command in (run, compare, sweep, report, validate, dram, explain):  # the order of --help
    app.command()(command)
app.command("list")(list_names)


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
    plugin: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE.py", help="Load designs, methods, selectors or dataflows from a file; repeatable."),
    ] = None,
) -> None:
    """Simulate an accelerator for dynamic sparse attention on attention taken from a real model."""
    if plugin:
        from dsasim.registry import use_plugins

        use_plugins(plugin)
