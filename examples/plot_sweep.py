"""Draw one of the example sweeps as an SVG.

dsasim sweep examples/sweep_buffer_traffic.yaml --out traffic
python examples/plot_sweep.py traffic/results.jsonl buffer_traffic traffic.svg
"""

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito's, for colour-blind readers
HALO = 'stroke="#ffffff" stroke-width="4" paint-order="stroke"'
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 84, 170, 76, 352


@dataclass(frozen=True)
class Figure:
    """What is drawn of each row; axes are logarithmic, `x_ticks` and `y_ticks` are their labels from end to end."""

    title: str
    x: Callable[[dict], float]
    x_name: str
    x_ticks: tuple[float, ...]
    y: Callable[[dict], float]
    y_name: str
    y_ticks: tuple[float, ...]
    line: Callable[[dict], str]
    point: Callable[[dict], str] = lambda _: ""
    hollow: Callable[[dict], bool] = lambda _: False


FIGURES = {
    "array_split": Figure(
        "Predictor rows beside the PE array: time against area",
        lambda row: row["area_mm2"]["total"],
        "area (mm²); the number at a point is rows of the predictor's own array, a ring is a coupled array",
        (2, 2.5, 3, 3.5, 4, 4.5),
        lambda row: row["time_ns"] / 1e3,
        "time (µs)",
        (30, 50, 100, 200),
        lambda row: f"{row['axes']['pe_array.lanes']} lanes",
        lambda row: str(row["axes"]["predictor.array_rows"] or ""),
        lambda row: row["axes"]["pe_array.organisation"] == "coupled",
    ),
    "buffer_traffic": Figure(
        "DRAM reads against the size of the key and value buffers",
        lambda row: row["axes"]["buffers.k.bytes"] / 1024,
        "size of each buffer (KiB); the keys of a head take 64, and so do its values",
        (4, 8, 16, 32, 64, 128),
        lambda row: row["counters"]["dram_read_bytes"] / 1e6,
        "read from DRAM (MB)",
        (0.5, 1, 2, 5, 10),
        lambda row: f"density {row['axes']['mask_generator.density']:g}",
    ),
    "token_parallelism": Figure(
        "Key vectors read against token parallelism, at 256 MACs",
        lambda row: row["axes"]["scheduler.token_parallelism"],
        "token parallelism T (query rows in lock-step)",
        (1, 2, 4, 8),
        lambda row: row["counters"]["k_vector_reads"] / 1e3,
        "key vectors read (thousands)",
        (5, 10, 20, 40),
        lambda row: row["axes"]["scheduler.order"].replace("_", " "),
    ),
}


def text(x: float, y: float, words: str, anchor: str = "start", extra: str = 'font-size="13"') -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(words)}</text>'


def place(value: float, ticks: tuple[float, ...], low: float, high: float) -> float:
    """Where a value is on a logarithmic axis that `ticks` spans."""
    share = math.log(value / ticks[0]) / math.log(ticks[-1] / ticks[0])
    return low + share * (high - low)


def axes(figure: Figure) -> Iterator[str]:
    """Grid, numbers and names of both axes."""
    for tick in figure.x_ticks:
        x = place(tick, figure.x_ticks, LEFT, WIDTH - RIGHT)
        yield f'<path d="M{x:.1f} {TOP}V{BOTTOM}" stroke="#d8dee4"/>' + text(x, BOTTOM + 20, f"{tick:g}", "middle")
    for tick in figure.y_ticks:
        y = place(tick, figure.y_ticks, BOTTOM, TOP)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d8dee4"/>' + text(
            LEFT - 8, y + 4, f"{tick:g}", "end"
        )
    yield text(LEFT, BOTTOM + 46, figure.x_name)
    yield text(20, TOP - 18, figure.y_name)


def lines(figure: Figure, rows: list[dict]) -> Iterator[str]:
    """A line for each name, named in a column on the right; points are named below, on the side the line is not."""
    ordered = sorted(rows, key=lambda row: (figure.line(row), row["point"]))
    names = []
    for at, (name, group) in enumerate(groupby(ordered, key=figure.line)):
        colour = COLOURS[at % len(COLOURS)]
        path = []
        members = list(group)
        last = [row for row in members if not figure.hollow(row)][-1]
        for row in members:
            x = place(figure.x(row), figure.x_ticks, LEFT, WIDTH - RIGHT)
            y = place(figure.y(row), figure.y_ticks, BOTTOM, TOP)
            hollow = figure.hollow(row)
            fill = f'fill="{"#ffffff" if hollow else colour}" stroke="{colour}" stroke-width="2"'
            title = f"{name}: {figure.x(row):.4g}, {figure.y(row):.4g}"
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if hollow else 3.5}" {fill}><title>{title}</title></circle>'
            if words := figure.point(row):
                side, anchor = (6, "start") if row is last else (-6, "end")
                names.append(text(x + side, y + 13, words, anchor, f'font-size="11" fill="{colour}" {HALO}'))
            if not hollow:
                path.append(f"{x:.1f} {y:.1f}")
        yield f'<path d="M{"L".join(path)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        left, middle = WIDTH - RIGHT + 24, TOP + 8 + 22 * at
        yield f'<path d="M{left} {middle}h18" stroke="{colour}" stroke-width="3"/>' + text(left + 26, middle + 4, name)
    yield from names  # over all lines


def picture(figure: Figure, rows: list[dict]) -> str:
    """The whole SVG."""
    trace = rows[0]["trace"]["name"]
    heading = text(20, 34, f"{figure.title} ({trace})", extra='font-size="16" font-weight="bold"')
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>'
    font = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="#1f2328"'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>'
    parts = [head, f"<title>{escape(figure.title)}</title>", frame, heading, *axes(figure), *lines(figure, rows)]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[2] not in FIGURES:
        sys.exit(f"{__doc__}\nfigures: {', '.join(FIGURES)}")
    source, name, target = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    found = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    target.write_text(picture(FIGURES[name], [row for row in found if row["status"] == "ok"]), encoding="utf-8")
