"""Masks that come with the trace."""

from dsasim.errors import TraceError
from dsasim.kernels.bits import set_keys
from dsasim.predictors.base import KeepMask, Selection
from dsasim.trace.attention import LayerTrace


class Given:
    """Keeps what the trace's own mask keeps, free of charge."""

    work = None

    def __init__(self, layer: LayerTrace) -> None:
        self._layer = layer

    def select(self, head: int, /) -> Selection:
        """The stored mask of a query head; TraceError where the trace has none."""
        packed = self._layer.given_bits(head)
        if packed is None:
            raise TraceError(
                f"layer {self._layer.number} of the trace holds no keep mask: predictor.method=given needs one "
                "(dsasim trace import-mask makes such a trace); predictor.method=oracle_topk needs none"
            )
        return Selection.free(KeepMask(*set_keys(packed), self._layer.L_k))
