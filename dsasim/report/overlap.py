"""The overlap of masks between two inputs as a table, as JSON and as an SVG."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

import dsasim
from dsasim.config.schema import ArchConfig
from dsasim.quality.overlap import HeadOverlap, LayerOverlap
from dsasim.report.markup import inert
from dsasim.report.style import new_table, percent
from dsasim.sim.engine import run_notes
from dsasim.trace.attention import AttentionTrace, TraceMeta

SCHEMA_VERSION = 1
MEANS = ("iou_ratio", "chance_iou_ratio", "density_a", "density_b")

CELL_WIDTH, CELL_HEIGHT, LEFT, TOP = 46, 26, 110, 92
DARK = (0, 114, 178)  # of Okabe and Ito's palette for colour-blind readers
FONT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'


@dataclass(frozen=True)
class Comparison:
    """Two traces, the design that made the masks of both, and how they overlap."""

    a: AttentionTrace
    b: AttentionTrace
    arch: ArchConfig
    layers: tuple[LayerOverlap, ...]

    @property
    def means(self) -> Mapping[str, float]:
        """Each of MEANS over all heads."""
        heads = [head for layer in self.layers for head in layer.heads]
        return {name: sum(getattr(head, name) for head in heads) / len(heads) for name in MEANS}

    @property
    def method(self) -> str:
        """How the masks were made: the design's method, or `given` where both traces bring their own."""
        return "given" if self.a.masks_only and self.b.masks_only else self.arch.predictor.method

    @property
    def title(self) -> str:
        """Both traces with their kinds, and the method."""
        names = " and ".join(f"{trace.meta.name} ({trace.meta.kind})" for trace in (self.a, self.b))
        return f"masks of {names}, {self.method}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What must stand beside the figures, for each trace that needs it."""
        pairs = ((trace.meta.name, note) for trace in (self.a, self.b) for note in run_notes(self.arch, trace))
        return tuple(f"{name}: {note}" for name, note in pairs)


def overlap_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison as JSON-ready values."""
    generator = comparison.arch.mask_generator
    density = None if generator is None or generator.density is None else str(generator.density)
    return {
        "schema_version": SCHEMA_VERSION,
        "dsasim_version": dsasim.__version__,
        "a": _identity(comparison.a.meta),
        "b": _identity(comparison.b.meta),
        "method": comparison.method,
        "density": None if comparison.method == "given" else density,
        "notes": list(comparison.notes),
        **comparison.means,
        "layers": [layer.to_json() for layer in comparison.layers],
    }


def print_overlap(comparison: Comparison, console: Console) -> None:
    """One row a layer: mean, least and largest overlap of its heads, chance, and both densities."""
    console.print(comparison.title, style="bold")
    for note in comparison.notes:
        console.print(note, style="yellow")
    table = new_table("layer", "heads", "IoU", "least", "largest", "by chance", "kept in A", "kept in B")
    for layer in comparison.layers:
        ratios = [head.iou_ratio for head in layer.heads]
        figures = {name: layer.mean(name) for name in MEANS}
        table.add_row(layer.label, *_cells(len(ratios), figures, ratios))
    every = [head.iou_ratio for layer in comparison.layers for head in layer.heads]
    table.add_row("all", *_cells(len(every), comparison.means, every), style="bold")
    console.print(table)
    console.print("IoU: positions kept for both inputs / for either; 1 is a static pattern")


def overlap_svg(comparison: Comparison) -> str:
    """A grid of one cell a head, darker where its masks overlap more."""
    columns = max(len(layer.heads) for layer in comparison.layers)
    width = max(LEFT + CELL_WIDTH * columns + 20, 520)
    height = TOP + CELL_HEIGHT * len(comparison.layers) + 20
    means = comparison.means
    caption = f"IoU of each head: mean {means['iou_ratio']:.2f}, by chance {means['chance_iou_ratio']:.2f}"
    body = [
        _text(20, 30, comparison.title, 16),
        _text(20, 52, caption, 13),
        *(_text(LEFT + CELL_WIDTH * (at + 0.5), TOP - 8, f"{at}", 12, "middle") for at in range(columns)),
        _text(LEFT - 8, TOP - 8, "head", 12, "end"),
        *_grid(comparison.layers),
    ]
    if comparison.notes:
        body.append(_text(20, 70, "; ".join(comparison.notes), 12))
    frame = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {FONT}>'
    return "\n".join([head, f"<title>{inert(comparison.title)}</title>", frame, *body, "</svg>"]) + "\n"


def _cells(num_heads: int, figures: Mapping[str, float], ratios: Sequence[float]) -> Iterator[str]:
    yield str(num_heads)
    yield from (f"{ratio:.3f}" for ratio in (figures["iou_ratio"], min(ratios), max(ratios)))
    yield f"{figures['chance_iou_ratio']:.3f}"
    yield from (percent(figures[name]) for name in ("density_a", "density_b"))


def _grid(layers: Sequence[LayerOverlap]) -> Iterator[str]:
    for row, layer in enumerate(layers):
        y = TOP + CELL_HEIGHT * row
        yield _text(LEFT - 8, y + 17, f"layer {layer.label}", 13, "end")
        for column, head in enumerate(layer.heads):
            yield _cell(LEFT + CELL_WIDTH * column, y, layer.label, head)


def _cell(x: float, y: float, layer: str, head: HeadOverlap) -> str:
    """A head's cell, which says more when pointed at."""
    fill = "#" + "".join(f"{round(255 + (part - 255) * head.iou_ratio):02x}" for part in DARK)
    colour = "#ffffff" if head.iou_ratio > 0.8 else "#1f2328"
    more = f"layer {layer} head {head.head}: IoU {head.iou_ratio:.3f}, by chance {head.chance_iou_ratio:.3f}"
    box = f'<rect x="{x}" y="{y}" width="{CELL_WIDTH - 2}" height="{CELL_HEIGHT - 2}" fill="{fill}" stroke="#d0d0d0"/>'
    label = _text(x + CELL_WIDTH / 2 - 1, y + 17, f"{head.iou_ratio:.2f}", 12, "middle", colour)
    return f"<g><title>{inert(more)}</title>{box}{label}</g>"


def _text(x: float, y: float, words: str, size: int, anchor: str = "start", colour: str = "#1f2328") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{inert(words)}</text>'


def _identity(meta: TraceMeta) -> dict[str, str]:
    return {"name": meta.name, "sha256": meta.sha256, "kind": meta.kind, "model": meta.model}
