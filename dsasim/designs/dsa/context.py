"""What is at hand while a layer's jobs are compiled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.placement import Placement
from dsasim.designs.dsa.shape import LayerShape
from dsasim.designs.dsa.vectors import Vectors
from dsasim.designs.dsa.work import Work
from dsasim.machine.job import Place
from dsasim.machine.space import Take
from dsasim.machine.token import Token
from dsasim.methods.operation import Prediction
from dsasim.prediction import LayerPredictor
from dsasim.trace.attention import LayerTrace

PREDICTOR, MASK_GENERATOR, SCHEDULER = "predictor", "mask_generator", "scheduler"
ARRAY, SOFTMAX = "pe_array", "softmax"
STREAMS = ("predictor", "q", "k", "v", "score", "output")
"""DMA streams, in the order in which the memory controller takes simultaneous posts."""


@dataclass(frozen=True)
class Context:
    """What all heads of a layer share: its sizes, its tensors' places, slots of its buffers by what they hold."""

    arch: ArchConfig
    layer: LayerTrace
    predictor: LayerPredictor
    shape: LayerShape
    placement: Placement
    slots: Mapping[str, Take]
    vectors: Mapping[str, Vectors]
    """K and V."""
    prediction: Callable[[int, int, int], Work | None]
    """The predictor's work for a tile of so many rows that see so many keys, of so many heads one after the other."""


class KVHeads:
    """kv heads that are on chip together, and what the tiles of their query heads wait for."""

    def __init__(self, layer: Place, numbers: tuple[int, ...], work: Prediction | None) -> None:
        self.numbers = numbers
        self.place = layer._replace(kv_heads=numbers)
        self.vectors = {"k": Token("K", self.place), "v": Token("V", self.place)}
        self.predicted = () if work is None else work.of("kv_head")
        """What the method does once a kv head (K~)."""
        has_weights = work is not None and work.storage.weight_bits > 0
        self.weights = Token("predictor weights", self.place) if has_weights else None
