"""What a prediction method is: made for a layer, it says what its masks cost and where they come from."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig, PredictorConfig
from dsasim.masks import Mask
from dsasim.methods.operation import Kind, Prediction
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import RowBlock

Scores: TypeAlias = NDArray[np.int32] | NDArray[np.float32]
Scorer: TypeAlias = Callable[[RowBlock], Scores]
"""Scores [num_rows, num_keys] of a block of rows."""

State: TypeAlias = Mapping[str, Any]
"""What earlier layers, steps or rounds left for a method, by name: passed on explicitly, never kept aside or changed.

Each value is the affair of the method that left it: probabilities summed over layers, pruned tokens.
"""

NO_STATE: State = MappingProxyType({})


class Method:
    """Base of all methods: free of charge, without scores or state. A method overrides what it has.

    ConfigError or TraceError from its constructor: a design and a layer that do not fit it.
    """

    summary: ClassVar[str] = ""
    """One line for `dsasim list methods`."""

    kinds: ClassVar[tuple[Kind, ...]] = ()
    """Kinds of its operations; a method without any is free of charge."""

    scored: ClassVar[bool] = False
    """Whether it gives scores, from which a selector makes the mask; otherwise it gives masks."""

    selection: ClassVar[str | None] = None
    """The only selector that goes with it, if there is one."""

    keeps_all: ClassVar[bool] = False
    """Whether it keeps every allowed position, whatever the layer: a dense machine, which needs no mask."""

    brings_own: ClassVar[bool] = False
    """Whether its masks come with the trace."""

    fitted: ClassVar[bool] = False
    """Whether its scores are those of a fitted predictor's integer path, which `dsasim.validate` makes again."""

    exact: ClassVar[bool] = False
    """Whether its scores are the model's own."""

    cached: ClassVar[bool] = False
    """Whether its masks are worth keeping for other designs that make the same."""

    Settings: ClassVar[type[PredictorConfig]] = PredictorConfig
    """The section `predictor` of a design that uses it."""

    def __init__(self, arch: ArchConfig, layer: LayerTrace, state: State) -> None:
        self.arch = arch
        self.layer = layer
        self.state = state

    @property
    def prediction(self) -> Prediction | None:
        """What predicting the layer costs; None if nothing."""
        return None

    def scorer(self, head: int) -> Scorer:
        """The scores of a query head."""
        raise NotImplementedError

    def score_scale(self, _head: int) -> float:
        """What a score of 1 is worth as a scaled score of the model, for a threshold."""
        return 1.0

    def mask(self, head: int) -> Mask:
        """The mask of a query head, of a method that gives no scores."""
        raise NotImplementedError

    def after(self) -> State:
        """What the layer leaves for those after it; asked when its heads have been selected."""
        return self.state

    @classmethod
    def note(cls, arch: ArchConfig, layer: LayerTrace) -> str | None:
        """What must stand beside every figure of a run on this layer, if anything."""
        del arch, layer
        return None
