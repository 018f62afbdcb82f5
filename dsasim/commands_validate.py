"""`dsasim validate`."""

from typing import Annotated, Literal

import typer

from dsasim.cli_inputs import (
    DEFAULT_ARCH,
    DEFAULT_TRACE,
    Arch,
    Overrides,
    Trace,
    common_heads,
    parse_numbers,
    refuse_design,
)
from dsasim.errors import ConfigError, DsasimError


def validate(
    arch: Arch = DEFAULT_ARCH,
    trace: Trace = DEFAULT_TRACE,
    overrides: Overrides = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where PyTorch runs; auto takes a GPU where there is one.")
    ] = "auto",
    layers: Annotated[
        str | None, typer.Option(metavar="0,3", help="The model's own layer numbers, all by default.")
    ] = None,
    heads: Annotated[str | None, typer.Option(metavar="0-3", help="Query heads, all by default.")] = None,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write every figure; - for stdout.")] = None,
    report: Annotated[str | None, typer.Option(metavar="F.html", help="Write one self-contained page.")] = None,
) -> None:
    """Compare every step of a run with PyTorch (extra `torch`); exit status 1 when one is off."""
    from dsasim.report.files import STDOUT, check_writable, write_text

    if report == STDOUT:
        raise ConfigError("--report -: a page is written to a file, not to stdout")
    for path, flag in ((json, "--json"), (report, "--report")):
        if path is not None:
            check_writable(path, flag)
    needs_torch()

    from dsasim.config.loader import load_arch
    from dsasim.trace.find import find_trace
    from dsasim.trace.store import open_trace

    design = load_arch(arch, overrides or ())
    refuse_design(trace)
    opened = open_trace(find_trace(trace))
    chosen_layers = None if layers is None else parse_numbers(layers, "--layers", opened.layer_numbers)
    chosen_heads = None if heads is None else parse_numbers(heads, "--heads", common_heads(opened, chosen_layers))

    from dsasim.report.progress import LateProgress
    from dsasim.report.validation import print_validation, validation_json
    from dsasim.report.validation_page import validation_page
    from dsasim.validate.run import validate as run_checks

    with LateProgress(f"validating {design.name} on {opened.meta.name}") as progress:
        result = run_checks(design, opened, chosen_layers, chosen_heads, device, progress)
    if json is not None:
        write_text(json, "--json", validation_json(result))
    if report is not None:
        write_text(report, "--report", validation_page(result))
    if json != STDOUT:
        from dsasim.report.style import new_console

        print_validation(result, new_console())
    if result.failures:
        raise DsasimError("\n".join(f"{check.name}: {check.detail}" for check in result.failures))


def needs_torch() -> None:
    """ConfigError naming the pip command where PyTorch is not installed."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise ConfigError('dsasim validate compares with PyTorch, which is not installed: pip install "dsasim[torch]"')
