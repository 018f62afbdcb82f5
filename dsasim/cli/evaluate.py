"""`dsasim trace evaluate`."""

from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Annotated

import typer

from dsasim.cli.inputs import DEFAULT_ARCH, Overrides, Trace, parse_numbers, refuse_design
from dsasim.config.share import parse_share
from dsasim.errors import ConfigError

if TYPE_CHECKING:
    from dsasim.evaluate.result import Evaluation


def trace_evaluate(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A Hugging Face model folder or a model package.")],
    trace: Trace,
    arch: Annotated[
        str | None, typer.Option(metavar="ARCH", help="Also simulate this design on TRACE, for cycles.")
    ] = None,
    predictor: Annotated[
        list[str] | None,
        typer.Option(help="A method that predicts, oracle_topk, random or sink_window; repeatable, all by default."),
    ] = None,
    density: Annotated[
        list[str] | None, typer.Option(metavar="SHARE", help="May be repeated; 0.05, 0.1 and 0.25 by default.")
    ] = None,
    layers: Annotated[str | None, typer.Option(metavar="0,3", help="Layers masked; all of TRACE by default.")] = None,
    tokens: Annotated[int | None, typer.Option(min=4, help="Of a window; those of TRACE by default.")] = None,
    windows: Annotated[int, typer.Option(min=1, max=100_000, help="Taken from the end of the text.")] = 4,
    text: Annotated[str | None, typer.Option(metavar="FILE", help="The text; that of pydoc_data by default.")] = None,
    overrides: Overrides = None,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write the whole result; - for stdout.")] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE.svg", help="Draw the figure against density or cycles.")
    ] = None,
) -> None:
    """Run a model with masks in place: perplexity of a decoder, embeddings of an encoder (extra `torch`).

    TRACE, of the same model, brings the predictors and says which layers are masked; the others stay dense.
    """
    from pathlib import Path

    from dsasim.report.files import DRAWING, check_writable

    for path, flag, endings in ((json, "--json", ()), (plot, "--plot", DRAWING)):
        if path is not None:
            check_writable(path, flag, endings)
    from dsasim.config.loader import load_arch, usual_arch
    from dsasim.evaluate.result import methods
    from dsasim.trace.capture import needs_torch
    from dsasim.trace.find import find_trace
    from dsasim.trace.store import open_trace

    refuse_design(trace)
    opened = open_trace(find_trace(trace))
    known = methods()
    chosen = list(dict.fromkeys(predictor or known))
    if unknown := [name for name in chosen if name not in known]:
        raise ConfigError(f"--predictor {unknown[0]}: expected one of {', '.join(known)}")
    shares = sorted({parse_share(number, "--density") for number in density or ("0.05", "0.1", "0.25")})
    designs = {
        (method, share): usual_arch(
            load_arch(arch or DEFAULT_ARCH, [*(overrides or ()), *_settings(method, share)]), "dsasim trace evaluate"
        )
        for method, share in product([method for method in known if method in chosen], shares)
    }
    needs_torch("running a model")
    from dsasim.evaluate.run import EvaluationRequest, evaluate
    from dsasim.report.progress import LateProgress

    numbers = opened.layer_numbers if layers is None else parse_numbers(layers, "--layers", opened.layer_numbers)
    length = opened.layer(numbers[0]).L_k if tokens is None else tokens
    request = EvaluationRequest(
        source, designs, numbers, windows, length, None if text is None else Path(text), arch is not None
    )
    with LateProgress(f"evaluating {source}") as progress:
        result = evaluate(request, opened, progress)
    _write(result, json, plot)


def _write(result: "Evaluation", json: str | None, plot: str | None) -> None:
    """The plot, the JSON, and a table where neither goes to stdout."""
    from dsasim.report.evaluation import evaluation_json, evaluation_svg, print_evaluation
    from dsasim.report.files import STDOUT, write_json, write_text

    if plot is not None:
        write_text(plot, "--plot", evaluation_svg(result))
    if json is not None:
        write_json(json, "--json", evaluation_json(result))
    if STDOUT not in (json, plot):
        from dsasim.report.style import new_console

        print_evaluation(result, new_console())


def _settings(method: str, share: Decimal) -> list[str]:
    """The design that makes a method's masks; static ones keep as many keys as its oracle would."""
    from dsasim.evaluate.result import UNPREDICTED

    made_by = "oracle_topk" if method in UNPREDICTED else method
    return [f"predictor.method={made_by}", "mask_generator.selection=top_k", f"mask_generator.density={share}"]
