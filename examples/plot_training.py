"""Draw what train_dsa.py measured: accuracy against density, a panel a task.

python examples/plot_training.py examples/train_dsa.jsonl examples/train_dsa.svg
"""

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import mean, stdev

METHODS = {  # the word in the legend, and a colour of Okabe and Ito's palette for colour-blind readers
    "dsa": ("DSA (σ 0.25, INT4)", "#0072b2"),
    "window": ("window", "#d55e00"),
    "bigbird": ("BigBird-like", "#009e73"),
    "random": ("fixed random", "#cc79a7"),
}
TITLES = {
    "recall": "recall, 64 tokens",
    "listops": "listops, 48 tokens",
    "pixels": "pixels, 196 tokens",
    "spam": "spam, 128 bytes",
}
DENSITIES = ("0.01", "0.05", "0.10")
COLUMNS, PANEL_WIDTH, PANEL_HEIGHT, LEFT, TOP, GRID = 3, 300, 270, 64, 92, 190
"""Pixels: the size of a panel, the place of the first one's grid, the height of a grid."""


@dataclass(frozen=True)
class Panel:
    """One task: its rows, the place of its grid's top left corner, and the accuracy in per cent at bottom and top."""

    rows: list[dict]
    left: float
    top: float
    low: float
    high: float

    def y(self, percent: float) -> float:
        """Where an accuracy is."""
        return self.top + GRID * (self.high - percent) / (self.high - self.low)

    def x(self, density: str, shift: float = 0) -> float:
        """Where a density is: one place each, `shift` beside it."""
        return self.left + 38 + 82 * DENSITIES.index(density) + shift

    def values(self, method: str, density: str, trained: str) -> list[float]:
        """Accuracy in per cent of every seed, at sigma 0.25 and INT4 where they count."""
        return [
            100 * row["accuracy_ratio"]
            for row in self.rows
            if (row["method"], row["density"], row["trained"]) == (method, density, trained)
            and (row["sigma"], row["bits"]) in ((None, None), ("0.25", 4))
        ]


def text(x: float, y: float, words: str, anchor: str = "start", extra: str = 'font-size="13"') -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(words)}</text>'


def point(x: float, panel: Panel, values: list[float], colour: str, trained: str, name: str) -> str:
    """A mark with a bar of one deviation each way; a ring for a frozen model."""
    middle, spread = mean(values), stdev(values) if len(values) > 1 else 0.0
    fill = colour if trained == "joint" else "#ffffff"
    bar = f'<path d="M{x:.1f} {panel.y(middle - spread):.1f}V{panel.y(middle + spread):.1f}" stroke="{colour}"/>'
    title = f"<title>{escape(name)}, {trained}: {middle:.1f} ± {spread:.1f} %</title>"
    circle = (
        f'<circle cx="{x:.1f}" cy="{panel.y(middle):.1f}" r="3.5" fill="{fill}" stroke="{colour}" stroke-width="1.5"'
    )
    return f"{bar}{circle}>{title}</circle>"


def line(panel: Panel, method: str, trained: str, shift: float) -> Iterator[str]:
    """A method's accuracy over the densities at which it ran; dashed for a frozen model."""
    name, colour = METHODS[method]
    found = [(density, values) for density in DENSITIES if (values := panel.values(method, density, trained))]
    path = "L".join(f"{panel.x(density, shift):.1f} {panel.y(mean(values)):.1f}" for density, values in found)
    dashes = "" if trained == "joint" else ' stroke-dasharray="4 3" stroke-opacity="0.7"'
    if path:
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.7"{dashes}/>'
    for density, values in found:
        yield point(panel.x(density, shift), panel, values, colour, trained, f"{name} at {density}")


def drawn(panel: Panel, title: str) -> Iterator[str]:
    """Everything of one panel: grid, the dense model, the methods."""
    width = 38 + 82 * 2 + 38
    yield text(panel.left, panel.top - 12, title, extra='font-size="14" font-weight="bold"')
    step = 20 if panel.high - panel.low > 50 else 10
    for tick in range(math.ceil(panel.low / step) * step, int(panel.high) + 1, step):
        y = panel.y(tick)
        yield f'<path d="M{panel.left} {y:.1f}h{width}" stroke="#d8dee4"/>' + text(
            panel.left - 8, y + 4, str(tick), "end"
        )
    for density in DENSITIES:
        yield text(panel.x(density), panel.top + GRID + 18, density, "middle")
    if dense := panel.values("dense", "1", "joint"):
        y = panel.y(mean(dense))
        yield f'<path d="M{panel.left} {y:.1f}h{width}" stroke="#57606a" stroke-width="1.5"/>'
    for at, method in enumerate(METHODS):
        for trained in ("frozen", "joint"):
            yield from line(panel, method, trained, 5 * (at - 1.5))


def legend(left: float, top: float) -> Iterator[str]:
    """Colours, then what lines and marks mean."""
    keys = [(name, f'stroke="{colour}" stroke-width="3"') for name, colour in METHODS.values()]
    keys += [("dense, trained as long", 'stroke="#57606a" stroke-width="1.5"')]
    for at, (name, style) in enumerate(keys):
        y = top + 22 * at
        yield f'<path d="M{left} {y}h24" {style}/>' + text(left + 34, y + 4, name)
    for at, words in enumerate(
        ("filled, solid: trained with the mask", "ring, dashed: mask put into the dense model", "bars: ± one deviation")
    ):
        yield text(left, top + 22 * len(keys) + 10 + 20 * at, words)


def picture(rows: list[dict]) -> str:
    """The whole SVG."""
    tasks = [task for task in TITLES if any(row["task"] == task for row in rows)]
    width, height = LEFT + COLUMNS * PANEL_WIDTH, 62 + PANEL_HEIGHT * math.ceil((len(tasks) + 1) / COLUMNS)
    places = [
        (LEFT + PANEL_WIDTH * (at % COLUMNS), TOP + PANEL_HEIGHT * (at // COLUMNS)) for at in range(len(tasks) + 1)
    ]
    parts = []
    for task, (left, top) in zip(tasks, places, strict=False):
        of_task = [row for row in rows if row["task"] == task]
        reached = [100 * row["accuracy_ratio"] for row in of_task if row["sigma"] in (None, "0.25")]
        low, high = 10 * math.floor(min(reached) / 10), min(100, 10 * math.ceil(max(reached) / 10))
        parts += drawn(Panel(of_task, left, top, low, high), TITLES[task])
    heading = "Accuracy (%) against density (kept share), masks of equal size"
    frame = f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>'
    font = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="#1f2328"'
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>'
    title = text(20, 34, heading, extra='font-size="16" font-weight="bold"')
    body = [f"<title>{escape(heading)}</title>", frame, title, *parts, *legend(places[-1][0], places[-1][1] + 10)]
    return "\n".join([head, *body, "</svg>"]) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = map(Path, sys.argv[1:])
    results = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    target.write_text(picture(results), encoding="utf-8")
