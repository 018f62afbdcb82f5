"""The keep masks of one layer by any of the methods evaluated, made by the code that `simulate` makes them with."""

from collections.abc import Callable, Iterator

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.masks import KeepMask
from dsasim.prediction import load_predictor
from dsasim.quality.references import random_mask, sink_window_mask
from dsasim.selectors.base import generator_of
from dsasim.trace.attention import LayerTrace
from dsasim.trace.counts import kept_counts

Masks = Callable[[LayerTrace], Iterator[KeepMask]]
"""The masks of a layer, a query head after the other."""


def masks_of(arch: ArchConfig, method: str) -> Masks:
    """Masks by `method`, at the design's density; predicted ones by its predictor."""
    if method in ("random", "sink_window"):
        return lambda layer: _static(arch, layer, method)
    return lambda layer: _predicted(arch, layer)


def _predicted(arch: ArchConfig, layer: LayerTrace) -> Iterator[KeepMask]:
    predictor = load_predictor(arch, layer)
    for head in range(layer.num_heads):
        yield predictor.select(head).keep.block(0, layer.L_q)


def _static(arch: ArchConfig, layer: LayerTrace, method: str) -> Iterator[KeepMask]:
    """As many keys a row as the design's top-k keeps; those of `quality.references`, with its seeds."""
    density = generator_of(arch).density
    if density is None:
        raise ConfigError("mask_generator.density: needed to keep as many keys in every row; got none")
    counts = kept_counts(layer.allowed_counts, density)
    for head in range(layer.num_heads):
        blocks = []
        for block in layer.row_blocks():
            allowed, kept = layer.allowed(*block), counts[block.rows]
            if method == "random":
                blocks.append(random_mask(allowed, kept, (layer.number, head), block.first))
            else:
                blocks.append(sink_window_mask(allowed, kept, block.first + layer.L_k - layer.L_q))
        yield KeepMask.join(blocks, layer.L_k)
