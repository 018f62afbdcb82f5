"""Masks that come with the trace."""

from dsasim.errors import TraceError
from dsasim.kernels.bits import set_keys
from dsasim.masks import KeepMask, Mask
from dsasim.methods.base import Method


class Given(Method):
    """Keeps what the trace's own mask keeps, free of charge."""

    summary = "the masks that come with the trace"
    brings_own = True

    def mask(self, head: int) -> Mask:
        """The stored mask of a query head; TraceError where the trace has none."""
        packed = self.layer.given_bits(head)
        if packed is None:
            raise TraceError(
                f"layer {self.layer.label} of the trace holds no keep mask: predictor.method=given needs one "
                "(dsasim trace import-mask makes such a trace); predictor.method=oracle_topk needs none"
            )
        return KeepMask(*set_keys(packed), self.layer.L_k)


METHOD = Given
