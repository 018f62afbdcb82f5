"""What is validated: a design on some heads of a trace, and where PyTorch runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dsasim.config.schema import ArchConfig
from dsasim.predictors import KeepMask, LayerPredictor, load_predictor
from dsasim.trace.attention import AttentionTrace, LayerTrace


def cell_of(layer: LayerTrace) -> int | str:
    """What stands under `layer` in a table: its number, of one of several sequences that too."""
    return layer.label if layer.of_several else layer.number


@dataclass(frozen=True)
class Subject:
    """A design (as it runs the trace), a trace, layer number -> query heads (of each sequence), and PyTorch's device.

    `tick` is told of each head that a check goes on to. Predictors and masks are made once and kept.
    """

    arch: ArchConfig
    trace: AttentionTrace
    selection: Mapping[int, Sequence[int]]
    device: str = "cpu"
    tick: Callable[[], None] = lambda: None
    _predictors: dict[tuple[int, int], LayerPredictor] = field(default_factory=dict)
    _masks: dict[tuple[tuple[int, int], int], KeepMask] = field(default_factory=dict)

    @property
    def layers(self) -> Iterator[LayerTrace]:
        """The chosen layers, each on every sequence."""
        return (layer for layer, _ in self.trace.chosen(self.selection))

    @property
    def num_heads(self) -> int:
        """Chosen heads of all layers and sequences."""
        return sum(len(heads) for _, heads in self.trace.chosen(self.selection))

    def heads(self) -> Iterator[tuple[LayerTrace, int]]:
        """The chosen layers and query heads, ascending."""
        for layer, heads in self.trace.chosen(self.selection):
            for head in heads:
                self.tick()
                yield layer, head

    def predictor(self, layer: LayerTrace) -> LayerPredictor:
        """The design's method applied to a layer, as `dsasim run` does it."""
        if layer.key not in self._predictors:
            self._predictors[layer.key] = load_predictor(self.arch, layer)
        return self._predictors[layer.key]

    def keep(self, layer: LayerTrace, head: int) -> KeepMask:
        """The keep mask of a query head, as `dsasim run` makes it."""
        key = layer.key, head
        if key not in self._masks:
            self._masks[key] = self.predictor(layer).select(head).keep.block(0, layer.L_q)
        return self._masks[key]
