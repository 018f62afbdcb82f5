"""What is at hand while a layer's work is built."""

from collections.abc import Callable
from dataclasses import dataclass

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.residency import Pool
from dsasim.designs.dsa.placement import Placement
from dsasim.designs.dsa.shape import LayerShape
from dsasim.predictors.base import LayerPredictor, Mask
from dsasim.trace.attention import LayerTrace

Observer = Callable[[LayerTrace, int, Mask], None]
"""Told each head's keep mask as it is made: (layer, query head, mask)."""


@dataclass
class Pools:
    """The pools of K and V vectors as the parts so far have left them; None where whole kv heads are kept."""

    k: Pool | None
    v: Pool | None

    @classmethod
    def empty(cls, shape: LayerShape) -> "Pools":
        """The pools at the start of a layer."""
        k, v = (None if kept.pool_vectors is None else Pool(kept.pool_vectors) for kept in (shape.k, shape.v))
        return cls(k, v)


@dataclass(frozen=True)
class Context:
    """What all heads of a layer share; `shape` is that of the rows being worked on."""

    arch: ArchConfig
    layer: LayerTrace
    predictor: LayerPredictor
    shape: LayerShape
    placement: Placement
    pools: Pools
    observe: Observer | None
