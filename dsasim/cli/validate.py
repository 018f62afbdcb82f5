"""`dsasim validate`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dsasim.cli.inputs import DEFAULT_ARCH, DEFAULT_TRACE, Arch, Overrides, Trace, open_selection
from dsasim.errors import ConfigError, DsasimError

if TYPE_CHECKING:
    from dsasim.config.schema import ArchConfig
    from dsasim.validate.result import Validation


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
    trend: Annotated[
        bool, typer.Option("--trend", help="Time attention on the device too: does it follow density and length?")
    ] = False,
    profile: Annotated[
        str | None, typer.Option(metavar="F.json", help="Time the device, write its profile for `run --gpu-profile`.")
    ] = None,
) -> None:
    """Compare every step of a run with PyTorch (extra `torch`); exit status 1 when one is off."""
    from dsasim.report.files import STDOUT, check_writable, write_text

    if report == STDOUT:
        raise ConfigError("--report -: a page is written to a file, not to stdout")
    if profile == STDOUT:
        raise ConfigError("--profile -: a profile is written to a file, not to stdout")
    for path, flag in ((json, "--json"), (report, "--report"), (profile, "--profile")):
        if path is not None:
            check_writable(path, flag)
    needs_torch()

    from dsasim.config.loader import load_arch

    design = load_arch(arch, overrides or ())
    chosen = open_selection(trace, layers, heads)

    from dsasim.report.progress import LateProgress
    from dsasim.report.validation import print_validation, validation_json
    from dsasim.report.validation_page import validation_page
    from dsasim.validate.run import validate as run_checks

    with LateProgress(f"validating {design.name} on {chosen.trace.meta.name}") as progress:
        result = run_checks(design, chosen.trace, chosen.layers, chosen.heads, device, progress)
    if trend:
        result = _with_trend(result, design)
    if profile is not None:
        write_text(profile, "--profile", _profile_json(result.device))
    if json is not None:
        write_text(json, "--json", validation_json(result))
    if report is not None:
        write_text(report, "--report", validation_page(result))
    if json != STDOUT:
        from dsasim.report.style import new_console

        print_validation(result, new_console())
    if result.failures:
        raise DsasimError("\n".join(f"{check.name}: {check.detail}" for check in result.failures))


def _with_trend(result: "Validation", design: "ArchConfig") -> "Validation":
    """The checks, and after them the trend of measured times."""
    from dataclasses import replace

    from dsasim.report.progress import LateProgress
    from dsasim.validate.gpu.trend import check_trend

    with LateProgress(f"timing attention on {result.device}") as progress:
        return replace(result, checks=(*result.checks, check_trend(design, result.device, progress)))


def _profile_json(device: str) -> str:
    """A measured profile of the device."""
    from dsasim.report.progress import LateProgress
    from dsasim.validate.gpu.profile import measure_profile

    with LateProgress(f"measuring a profile on {device}") as progress:
        return measure_profile(device, progress).model_dump_json(indent=1) + "\n"


def needs_torch() -> None:
    """ConfigError naming the pip command where PyTorch is not installed."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise ConfigError('dsasim validate compares with PyTorch, which is not installed: pip install "dsasim[torch]"')
