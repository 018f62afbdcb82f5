"""Pictures of keep masks: which positions a head keeps, as density of at most CELLS by CELLS cells."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schemas import design_from
from dsasim.errors import ConfigError
from dsasim.predictors.base import Mask
from dsasim.report.html.figure import SEQUENTIAL, Figure, axis, colour_bar, figure
from dsasim.report.html.label import hover
from dsasim.sim.engine import design_of
from dsasim.trace.attention import AttentionTrace, LayerTrace
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace

CELLS = 128
DEFAULT_HEADS = 4
"""Pictures that nobody chose: the first head of each of so many layers."""

HeadNumber = tuple[int, int, int]
"""Layer, by the model's number, query head, and sequence."""


@dataclass(frozen=True)
class MaskPicture:
    """Kept / allowed positions float64 [rows, columns] of cells of `cell` by `cell` positions; NaN: none is allowed."""

    layer: str
    """What follows the word layer."""
    head: int
    cell: int
    kept: NDArray[np.float64]


def mask_pictures(result: Mapping[str, Any], trace_name: str, heads: str | None) -> list[MaskPicture]:
    """Predict and select again what a result's design keeps in `heads` (0:3,5:1:1), the first ones where None.

    ConfigError if the trace is not the one that was run, or lacks a head; TraceError if it is none.
    """
    trace = open_trace(find_trace(trace_name))
    if trace.meta.sha256 != result["trace"]["sha256"]:
        raise ConfigError(f"--trace {trace_name}: the run was on another trace, {result['trace']['name']}")
    design = design_of(design_from(result["arch"]))
    chosen = first_heads(result["layers"]) if heads is None else parse_heads(heads, trace)
    places = [(trace.layer(number, sequence), head) for number, head, sequence in chosen]
    masks = [(layer, head, design.mask(layer, head)) for layer, head in places]
    if heads is not None and any(keep is None for _, _, keep in masks):
        raise ConfigError(f"--mask-heads {heads}: masks of the machine {design.arch.design} depend on the whole run")
    return [picture(layer, head, keep) for layer, head, keep in masks if keep is not None]


def picture(layer: LayerTrace, head: int, keep: Mask) -> MaskPicture:
    """Count kept and allowed positions in each cell, a block of rows at a time."""
    cell = max(1, math.ceil(max(layer.L_q, layer.L_k) / CELLS))
    shape = (math.ceil(layer.L_q / cell), math.ceil(layer.L_k / cell))
    counts = np.zeros((2, *shape), dtype=np.int64)
    for block in layer.row_blocks():
        for count, mask in zip(
            counts, (keep.block(block.first, block.num_rows).to_dense(), layer.allowed(*block)), strict=True
        ):
            rows, columns = np.nonzero(mask)
            np.add.at(count, ((rows + block.first) // cell, columns // cell), 1)
    kept, allowed = counts
    with np.errstate(invalid="ignore"):
        return MaskPicture(layer.label, head, cell, kept / np.where(allowed, allowed, np.nan))


def mask_figure(shown: MaskPicture) -> Figure:
    """Draw a mask, the first query at the top, as square as the page allows."""
    percents = [[None if math.isnan(share) else round(100 * share, 1) for share in row] for row in shown.kept.tolist()]
    trace = {
        "type": "heatmap",
        "z": percents,
        "x0": shown.cell / 2,
        "dx": shown.cell,
        "y0": shown.cell / 2,
        "dy": shown.cell,
        "zmin": 0,
        "zmax": 100,
        "colorscale": SEQUENTIAL,
        "hoverongaps": False,
        "colorbar": colour_bar("kept", "% of allowed positions"),
        "hovertemplate": hover("queries around %{y:.0f}, keys around %{x:.0f}: %{z:.1f} % kept"),
    }
    return figure(
        [trace],
        480,
        xaxis=axis("key", "position", showgrid=False, zeroline=False, constrain="domain"),
        yaxis=axis(
            "query",
            "position",
            showgrid=False,
            zeroline=False,
            autorange="reversed",
            scaleanchor="x",
            constrain="domain",
        ),
    )


def first_heads(layers: Sequence[Mapping[str, Any]]) -> list[HeadNumber]:
    """Return the first simulated head of each of the first few layers of a result."""
    shown = [layer for layer in layers[:DEFAULT_HEADS] if layer["heads"]]
    return [(layer["layer"], layer["heads"][0]["head"], layer.get("sequence", 0)) for layer in shown]


def parse_heads(text: str, trace: AttentionTrace) -> list[HeadNumber]:
    """Return the heads that `0:3,5:1:1` (layer:head, of sequence 0, or layer:head:sequence) names.

    ConfigError if it cannot be read or the trace lacks one.
    """
    found = []
    for word in text.split(","):
        parts = [part.strip() for part in word.split(":")]
        if len(parts) not in (2, 3) or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            raise ConfigError(f"--mask-heads {text}: expected LAYER:HEAD, such as 0:3,5:1, or LAYER:HEAD:SEQUENCE")
        layer, head, sequence = (*map(int, parts), 0)[:3]
        if layer not in trace.layer_numbers:
            known = ", ".join(map(str, trace.layer_numbers))
            raise ConfigError(f"--mask-heads {text}: {trace.meta.name} has no layer {layer}; it has {known}")
        if head >= (count := trace.layer(layer).num_heads):
            raise ConfigError(f"--mask-heads {text}: layer {layer} has no head {head}; it has 0 to {count - 1}")
        if sequence >= (count := trace.num_sequences):
            raise ConfigError(
                f"--mask-heads {text}: {trace.meta.name} has no sequence {sequence}; it has 0 to {count - 1}"
            )
        found.append((layer, head, sequence))
    return list(dict.fromkeys(found))
