"""The `dsasim` command. Heavy imports are inside the commands: `--help` must not wait for NumPy or Numba."""

import os
import sys
from typing import Annotated, Any, cast

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
from dsasim.inputs.printable import printable
from dsasim.report.say import say

_UsageError = cast("type[Any]", typer.BadParameter.__base__)
"""Typer names it in no one place that all its versions have."""

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
    """Run the command line; exit status 0 done, 2 bad input, 1 failed run, 130 Ctrl-C.

    A sweep that is ended by SIGTERM or SIGHUP exits with 143 or 129.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # a terminal without µ or ² shows a question mark, not a traceback
    try:
        try:
            status = app(standalone_mode=False)
        finally:
            sys.stdout.flush()
        if status:
            sys.exit(status)
    except DsasimError as error:
        _print_error(*error.args)
        sys.exit(error.exit_status)
    except _UsageError as error:
        _print_usage_error(error)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except OSError as error:
        # stdout left (`dsasim … | head`: say nothing) or filled up; the interpreter must find nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _print_error(str(error))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 (only a plugin's is told in a line)
        _print_error(_blamed(error))
        sys.exit(2)


def _blamed(error: Exception) -> str:
    """What to say of an error that a plugin's file raised; any other is our own, and raised again."""
    from dsasim.registry import plugin_line

    where = plugin_line(error)
    if where is None:
        raise error
    return f"--plugin {printable(where)}: {type(error).__name__}: {printable(error)}"


def _print_error(first: str, *others: str) -> None:
    """One line a problem; not wrapped, so that a command in it can be copied."""
    say(f"dsasim: error: {f'{1 + len(others)} problems' if others else first}", err=True)
    for problem in (first, *others) if others else ():
        say(f"  {problem}", err=True)


def _print_usage_error(error: Any) -> None:
    """What is wrong with the arguments, and where help is; no arguments at all ask for the help itself."""
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(message)
    else:
        where = f" (`{error.ctx.command_path} --help`)" if error.ctx else ""
        _print_error(f"{' '.join(message.split())}{where}")  # choices stand on lines of their own


def _print_version(wanted: bool) -> None:
    if wanted:
        from dsasim import __version__

        say(f"dsasim {__version__}")
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
