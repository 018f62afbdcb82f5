"""What masks do to a model as a table, as JSON, and as an SVG: the task's figure against density, or against cycles."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

import dsasim
from dsasim.evaluate.result import TASKS, Evaluation, EvaluationPoint
from dsasim.report.markup import inert
from dsasim.report.style import new_table, percent

SCHEMA_VERSION = 1
PREDICTED = "#0072b2"
COLOURS = {"oracle_topk": "#009e73", "random": "#d55e00", "sink_window": "#e69f00"}
"""Okabe and Ito's palette for colour-blind readers."""
NAMES = {"oracle_topk": "oracle", "sink_window": "sink + window"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 680, 440, 76, 150, 96, 58
FONT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'


def evaluation_json(result: Evaluation) -> dict[str, Any]:
    """The whole evaluation as JSON-ready values; a figure that does not exist is null."""
    about = ("model", "task", "trace", "arch", "num_layers", "windows", "tokens", "text")
    return {
        "schema_version": SCHEMA_VERSION,
        "dsasim_version": dsasim.__version__,
        **{name: getattr(result, name) for name in about},
        "layers": list(result.layers),
        "notes": list(result.notes),
        "points": [_point_json(point) for point in result.points],
    }


def _point_json(point: EvaluationPoint) -> dict[str, Any]:
    figures = {name: None if math.isnan(value) else value for name, value in point.figures.items()}
    return {
        "method": point.method,
        "density": str(point.density),
        "density_ratio": point.density_ratio,
        **figures,
        "cycles": point.cycles,
        "speedup_vs_dense": point.speedup_vs_dense,
    }


def print_evaluation(result: Evaluation, console: Console) -> None:
    """One row a predictor and density; the dense model first."""
    console.print(_title(result), style="bold")
    for note in result.notes:
        console.print(note, style="yellow")
    timed = any(point.cycles is not None for point in result.points)
    names = [_heading(name) for name in result.points[0].figures]
    table = new_table("masks", "density", "kept", *names, *(("cycles", "speed-up") if timed else ()))
    for point in result.points:
        cells = [NAMES.get(point.method, point.method), str(point.density), percent(point.density_ratio)]
        cells += [_figure(name, value) for name, value in point.figures.items()]
        if timed:
            cells += ["", ""] if point.cycles is None else [f"{point.cycles:,}", f"{point.speedup_vs_dense:.2f}x"]
        table.add_row(*cells)
    console.print(table)
    console.print(f"{result.task}: {TASKS[result.task]}")
    if timed:
        console.print(f"cycles: {result.arch} on {result.trace}; only a method that predicts pays for it")


def evaluation_svg(result: Evaluation) -> str:
    """One line a predictor: the figure against cycles where they were asked for, against density otherwise."""
    timed = any(point.cycles is not None for point in result.points)
    masked = [point for point in result.points if point.method != "dense"]
    xs = [_x(point, timed=timed) for point in masked]
    dense = _y(result.points[0])
    log = result.task == "perplexity"
    lowest, highest = min(dense, *map(_y, masked)), max(dense, *map(_y, masked))
    x_of = _scale(xs, LEFT, WIDTH - RIGHT, log=True)
    y_of = _scale([lowest, highest], HEIGHT - BOTTOM, TOP, log=log)
    label = "cycles" if timed else "density"
    body = [
        _text(20, 26, result.model, 16),
        _text(20, 44, _conditions(result), 12),
        *(_text(20, 60, "; ".join(result.notes), 12) for _ in result.notes[:1]),
        *_axes(sorted(set(xs)) if not timed else [min(xs), max(xs)], (lowest, highest), x_of, y_of),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, f"{label} (logarithmic)", 13, "middle"),
        _text(20, TOP - 8, _heading(result.task) + (" (logarithmic)" if log else ""), 13),
        _line([(LEFT, y_of(dense)), (WIDTH - RIGHT, y_of(dense))], "#57606a", dashed=True),
        _text(WIDTH - RIGHT + 8, y_of(dense) + 4, f"dense {dense:.3g}", 12),
    ]
    for at, method in enumerate(dict.fromkeys(point.method for point in masked)):
        points = sorted((_x(p, timed=timed), _y(p)) for p in masked if p.method == method)
        body += _series(
            [(x_of(x), y_of(y)) for x, y in points],
            points,
            NAMES.get(method, method),
            COLOURS.get(method, PREDICTED),
            at,
        )
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {FONT}>'
    return "\n".join([head, f"<title>{inert(_title(result))}</title>", frame, *body, "</svg>"]) + "\n"


def _title(result: Evaluation) -> str:
    return f"{result.model}, {_conditions(result)}"


def _conditions(result: Evaluation) -> str:
    layers = f"{len(result.layers)} of {result.num_layers} layers masked"
    return f"{layers}, {result.windows} windows of {result.tokens} tokens of {result.text}"


def _heading(name: str) -> str:
    return name.removesuffix("_ratio").replace("_", " ")


def _figure(name: str, value: float) -> str:
    if math.isnan(value):
        return "n/a"
    return percent(value) if name.endswith("_ratio") else f"{value:,.2f}" if name == "perplexity" else f"{value:.4f}"


def _x(point: EvaluationPoint, *, timed: bool) -> float:
    return float(point.cycles or 0) if timed else point.density_ratio


def _y(point: EvaluationPoint) -> float:
    return next(iter(point.figures.values()))


def _scale(values: Sequence[float], first: float, last: float, *, log: bool) -> Any:
    """A function from value to pixel; the least of `values` at `first`, the largest at `last`."""
    measure = math.log if log else float
    low, high = measure(min(values)), measure(max(values))
    return lambda value: first + (last - first) * ((measure(value) - low) / (high - low) if high > low else 0.5)


def _axes(xs: Sequence[float], ys: Sequence[float], x_of: Any, y_of: Any) -> Iterator[str]:
    yield _line([(LEFT - 6, TOP), (LEFT - 6, HEIGHT - BOTTOM + 6), (WIDTH - RIGHT, HEIGHT - BOTTOM + 6)], "#1f2328")
    for x in xs:
        label = f"{x:,.0f}" if x > 1 else f"{x:.3g}"
        yield _text(x_of(x), HEIGHT - BOTTOM + 22, label, 12, "middle")
    for y in ys:
        yield _text(LEFT - 10, y_of(y) + 4, f"{y:.3g}" if y < 1000 else f"{y:,.0f}", 12, "end")


def _series(
    at: Sequence[tuple[float, float]], values: Sequence[tuple[float, float]], name: str, colour: str, row: int
) -> Iterator[str]:
    """A line with its points, which say more when pointed at, and its name in the legend."""
    yield _line(at, colour)
    for (x, y), (of_x, of_y) in zip(at, values, strict=True):
        more = inert(f"{name}: {of_y:.4g} at {of_x:,.4g}")
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{more}</title></circle>'
    y = HEIGHT - BOTTOM - 72 + 20 * row
    yield f'<rect x="{WIDTH - RIGHT + 10}" y="{y - 9}" width="12" height="10" fill="{colour}"/>'
    yield _text(WIDTH - RIGHT + 28, y, name, 12)


def _line(points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'


def _text(x: float, y: float, words: str, size: int, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="#1f2328">{inert(words)}</text>'
