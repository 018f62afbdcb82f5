"""`dsasim validate`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dsasim.cli.inputs import DEFAULT_ARCH, DEFAULT_TRACE, Arch, Overrides, Trace, open_selection
from dsasim.errors import ConfigError, DsasimError
from dsasim.report.say import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dsasim.baseline.gpu_profile import GpuProfile
    from dsasim.cli.inputs import TraceSelection
    from dsasim.config.schema import ArchConfig
    from dsasim.validate.gpu.samples import TimeSample
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
    heads: Annotated[
        str | None, typer.Option(metavar="0-3", help="Query heads of each sequence, all by default.")
    ] = None,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write every figure; - for stdout.")] = None,
    report: Annotated[str | None, typer.Option(metavar="F.html", help="Write one self-contained page.")] = None,
    trend: Annotated[
        bool, typer.Option("--trend", help="Time attention on the device too: does it follow density and length?")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="F.json",
            help="Time the device, write its profile for `run --gpu-profile`; one that is there is gone on with.",
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Begin nothing of the profile that would end later than this.")
    ] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="F.csv", help="Write every time taken by --trend and --profile.")
    ] = None,
) -> None:
    """Compare every step of a run with PyTorch (extra `torch`); exit status 1 when one is off."""
    _check_asked(minutes, csv, profile, trend=trend)
    _check_outputs({"--json": json, "--report": report, "--profile": profile, "--csv": csv})
    needs_torch()
    known = _known_profile(profile, device)

    from dsasim.config.loader import load_arch, usual_arch

    design = usual_arch(load_arch(arch, overrides or ()), "dsasim validate")
    chosen = open_selection(trace, layers, heads)

    from dsasim.report.progress import LateProgress
    from dsasim.validate.run import validate as run_checks

    with LateProgress(f"validating {design.name} on {chosen.trace.meta.name}") as progress:
        result = run_checks(design, chosen.trace, chosen.layers, chosen.heads, device, progress)
    samples = list["TimeSample"]()
    if trend:
        result, taken = _with_trend(result, design, chosen)
        samples += taken
    _write(result, json, report)
    if profile is not None:  # last: what was checked is written by then, whatever happens on the device
        samples += _grown_profile(profile, known, result.device, minutes)
    if csv is not None:
        from dsasim.report.files import write_text
        from dsasim.validate.gpu.samples import samples_csv

        write_text(csv, "--csv", samples_csv(samples))
    if result.failures:
        raise DsasimError(*(f"{check.name}: {check.detail}" for check in result.failures))


def _write(result: "Validation", json: str | None, report: str | None) -> None:
    """The JSON, the page, and a table where the JSON does not go to stdout."""
    from dsasim.report.files import STDOUT, write_json, write_text
    from dsasim.report.style import new_console
    from dsasim.report.validation import print_validation
    from dsasim.report.validation_page import validation_page

    if json is not None:
        write_json(json, "--json", result.to_json())
    if report is not None:
        write_text(report, "--report", validation_page(result))
    if json != STDOUT:
        print_validation(result, new_console())


def _check_asked(minutes: float | None, csv: str | None, profile: str | None, *, trend: bool) -> None:
    """ConfigError for a flag of something that was not asked for."""
    if minutes is not None and profile is None:
        raise ConfigError("--minutes is for --profile, which was not asked for")
    if csv is not None and not trend and profile is None:
        raise ConfigError("--csv writes the times of --trend and --profile; neither was asked for")


def _check_outputs(paths: "Mapping[str, str | None]") -> None:
    """ConfigError for a file that cannot be written, and for anything but JSON on stdout."""
    from dsasim.report.files import PAGE, STDOUT, check_writable

    endings = {"--report": PAGE, "--profile": (".json",), "--csv": (".csv",)}
    for flag, path in paths.items():
        if path == STDOUT and flag != "--json":
            raise ConfigError(f"{flag} -: it is written to a file, not to stdout")
        if path is not None:
            check_writable(path, flag, endings.get(flag, ()))


def _with_trend(
    result: "Validation", design: "ArchConfig", chosen: "TraceSelection"
) -> "tuple[Validation, Sequence[TimeSample]]":
    """The checks, after them the trend of measured times and the accelerator's break-even; and the raw times."""
    from dataclasses import replace

    from dsasim.report.progress import LateProgress
    from dsasim.validate.break_even import check_break_even
    from dsasim.validate.gpu.trend import check_trend

    with LateProgress(f"timing attention on {result.device}") as progress:
        trend = check_trend(design, result.device, progress)
    with LateProgress("simulating shorter inputs") as progress:
        shorter = check_break_even(design, chosen.trace, result.selection, progress)
    return replace(result, checks=(*result.checks, trend.check, shorter)), trend.samples


def _known_profile(path: str | None, device: str) -> "GpuProfile | None":
    """The profile to go on with, if there is one; ConfigError, before anything is computed, if it is of another GPU."""
    from pathlib import Path

    if path is None or not Path(path).exists():
        return None

    from dsasim.baseline.gpu_profile import read_profile
    from dsasim.validate.gpu.profile import identity, resumed
    from dsasim.validate.gpu.sensors import open_sensors
    from dsasim.validate.run import chosen_device

    known, here = read_profile(path, complete=False, argument="--profile"), chosen_device(device)
    return resumed(known, identity(here, open_sensors(here)))


def _grown_profile(path: str, known: "GpuProfile | None", device: str, minutes: float | None) -> "Sequence[TimeSample]":
    """Measure what the profile lacks, writing it after every shape; the raw times of what is new."""
    from dsasim.report.files import write_text
    from dsasim.report.progress import LateProgress
    from dsasim.validate.gpu.profile import measure_profile

    def save(grown: "GpuProfile") -> None:
        write_text(path, "--profile", grown.model_dump_json(indent=1) + "\n")

    with LateProgress(f"measuring a profile on {device}") as progress:
        measured = measure_profile(device, progress, known=known, minutes=minutes, save=save)
    if measured.missing:
        rows = f"{measured.missing} of {measured.missing + len(measured.profile.rows)} rows"
        say(f"{path} lacks {rows} still: run the command again to go on", err=True)
    return measured.samples


def needs_torch() -> None:
    """ConfigError naming the pip command where PyTorch is not installed."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise ConfigError('dsasim validate compares with PyTorch, which is not installed: pip install "dsasim[torch]"')
