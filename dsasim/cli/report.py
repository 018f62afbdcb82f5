"""`dsasim report`."""

from typing import Annotated

import typer

from dsasim.errors import ConfigError


def report(
    source: Annotated[
        str, typer.Argument(metavar="RESULT.json|SWEEP", help="A result (--json), or a sweep's folder or .jsonl file.")
    ],
    out: Annotated[str, typer.Option(metavar="F.html", help="The page, one file that needs no network.")],
    trace: Annotated[
        str | None, typer.Option(metavar="TRACE", help="The run's trace, for pictures of its masks.")
    ] = None,
    mask_heads: Annotated[
        str | None, typer.Option(metavar="0:3,5:1", help="LAYER:HEAD of these; the first heads by default.")
    ] = None,
) -> None:
    """Draw a run or a sweep as one HTML file (extra report)."""
    from dsasim.report.files import PAGE, check_writable, write_text
    from dsasim.report.html.inputs import read_input
    from dsasim.report.html.page import check_plotly
    from dsasim.report.say import say

    check_plotly()
    check_writable(out, "--out", PAGE)
    if mask_heads is not None and trace is None:
        raise ConfigError("--mask-heads: masks are in the trace: name it with --trace")
    missing: list[str] = []
    found = read_input(source, missing.append)
    if isinstance(found, list):
        from dsasim.report.html.sweep import sweep_page

        if trace is not None:
            raise ConfigError("--trace: masks are shown of a run, and this is a sweep")
        page = sweep_page(found, missing)
    else:
        from dsasim.report.html.masks import mask_pictures
        from dsasim.report.html.run import run_page

        masks = [] if trace is None else mask_pictures(found, trace, mask_heads)
        page = run_page(found, masks=masks)
    write_text(out, "--out", page.html())
    for line in missing:
        say(f"dsasim: warning: {line}", err=True)
