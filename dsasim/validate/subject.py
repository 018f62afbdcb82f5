"""What is validated: a design on some heads of a trace, and where PyTorch runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dsasim.config.schema import ArchConfig
from dsasim.masks import KeepMask
from dsasim.prediction import LayerPredictor, load_predictor
from dsasim.trace.attention import AttentionTrace, LayerTrace


@dataclass(frozen=True)
class Subject:
    """A design (as it runs the trace), a trace, layer number -> query heads, and PyTorch's device.

    `tick` is told of each head that a check goes on to. Predictors and masks are made once and kept.
    """

    arch: ArchConfig
    trace: AttentionTrace
    selection: Mapping[int, Sequence[int]]
    device: str = "cpu"
    tick: Callable[[], None] = lambda: None
    _predictors: dict[int, LayerPredictor] = field(default_factory=dict)
    _masks: dict[tuple[int, int], KeepMask] = field(default_factory=dict)

    @property
    def layers(self) -> Iterator[LayerTrace]:
        """The chosen layers."""
        return (self.trace.layer(number) for number in self.selection)

    @property
    def num_heads(self) -> int:
        """Chosen heads of all layers."""
        return sum(len(heads) for heads in self.selection.values())

    def heads(self) -> Iterator[tuple[LayerTrace, int]]:
        """The chosen layers and query heads, ascending."""
        for layer in self.layers:
            for head in self.selection[layer.number]:
                self.tick()
                yield layer, head

    def predictor(self, layer: LayerTrace) -> LayerPredictor:
        """The design's method applied to a layer, as `dsasim run` does it."""
        if layer.number not in self._predictors:
            self._predictors[layer.number] = load_predictor(self.arch, layer)
        return self._predictors[layer.number]

    def keep(self, layer: LayerTrace, head: int) -> KeepMask:
        """The keep mask of a query head, as `dsasim run` makes it."""
        key = layer.number, head
        if key not in self._masks:
            self._masks[key] = self.predictor(layer).select(head).keep.block(0, layer.L_q)
        return self._masks[key]
