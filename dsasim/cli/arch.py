"""`dsasim arch`: look at designs."""

from typing import Annotated

import typer

from dsasim.cli.inputs import DEFAULT_ARCH, Arch, Overrides
from dsasim.report.say import say

arch_app = typer.Typer(no_args_is_help=True, help="Look at designs: shipped ones by name, others by file.")


@arch_app.command("list")
def arch_list() -> None:
    """List the shipped designs."""
    from dsasim.config.loader import list_archs
    from dsasim.report.listing import print_archs
    from dsasim.report.style import new_console

    print_archs(list_archs(), new_console())


@arch_app.command("show")
def arch_show(
    arch: Arch = DEFAULT_ARCH,
    overrides: Overrides = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Every value as it is used, defaults included, without the comments.")
    ] = False,
) -> None:
    """Print a design's file with its comments and sources, `--set` written into it."""
    from dsasim.config.annotated import annotated_yaml
    from dsasim.config.loader import load_arch
    from dsasim.config.resolved import arch_to_yaml
    from dsasim.report.files import STDOUT, write_text

    changes = overrides or ()
    text = arch_to_yaml(load_arch(arch, changes)) if resolved else annotated_yaml(arch, changes)
    write_text(STDOUT, "", text)


@arch_app.command("check")
def arch_check(arch: Arch, overrides: Overrides = None) -> None:
    """Say OK, or everything that is wrong with a design and where."""
    from dsasim.config.loader import load_arch
    from dsasim.model.dram_memory import check_memory

    design = load_arch(arch, overrides or ())
    check_memory(design.dram)
    say(f"OK: {arch} is the design {design.name}")


@arch_app.command("schema")
def arch_schema(arch: Arch = DEFAULT_ARCH) -> None:
    """Print the JSON Schema of design files of the machine and the parts that a design names, plugins included."""
    import json

    from dsasim.config.loader import load_arch
    from dsasim.config.schemas import schema_of
    from dsasim.report.files import STDOUT, write_text

    schema = schema_of(load_arch(arch).model_dump()).model_json_schema()
    write_text(STDOUT, "", json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
