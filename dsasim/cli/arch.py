"""`dsasim arch`: look at designs."""

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
def arch_show(arch: Arch = DEFAULT_ARCH, overrides: Overrides = None) -> None:
    """Print a design as YAML, every value resolved and `--set` applied."""
    from dsasim.config.loader import load_arch
    from dsasim.config.resolved import arch_to_yaml
    from dsasim.report.files import STDOUT, write_text

    write_text(STDOUT, "", arch_to_yaml(load_arch(arch, overrides or ())))


@arch_app.command("check")
def arch_check(arch: Arch, overrides: Overrides = None) -> None:
    """Say OK, or everything that is wrong with a design and where."""
    from dsasim.config.loader import load_arch
    from dsasim.model.dram_memory import check_memory

    design = load_arch(arch, overrides or ())
    check_memory(design.dram)
    say(f"OK: {arch} is the design {design.name}")
