"""Every way a model says what may be attended to, as the trace says it: causal, allowed positions, a finite bias."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsasim.trace.packing import Bool

Float32 = NDArray[np.float32]
MASKED_BELOW = -5000.0
"""An additive mask at or below this forbids: models use -1e4, -1e9, the type's minimum or -inf; exp(-5000) is 0."""
OTHER_HEADS_ONLY = -30000.0
"""Bias of a position that this head may not attend to while another may: its weight is 0 in float32."""


@dataclass(frozen=True)
class CapturedMask:
    """As LayerArrays has it: causal in the sense j <= i + L_k - L_q, allowed [L_q, L_k], bias [1 or H, L_q, L_k]."""

    causal: bool
    allowed: Bool | None
    bias: Float32 | None
    differs_between_heads: bool

    def of_row(self, L_q: int, L_k: int) -> Bool:
        """All that may be attended to, bool [L_q, L_k]."""
        seen = np.ones((L_q, L_k), dtype=np.bool_) if self.allowed is None else self.allowed
        return seen & np.tri(L_q, L_k, L_k - L_q, dtype=np.bool_) if self.causal else seen


def positions(mask: NDArray[Any] | None, L_q: int, L_k: int, *, causal: bool) -> CapturedMask:
    """A mask [1 or H, L_q, L_k], boolean (True = allowed) or additive, normalised; `causal` here: j <= i."""
    diagonal = np.tri(L_q, L_k, dtype=np.bool_) if causal else None
    if mask is None:
        everywhere = np.ones((L_q, L_k), dtype=np.bool_)
        return CapturedMask(
            *_causal_or_not(everywhere if diagonal is None else diagonal), None, differs_between_heads=False
        )
    per_head: Bool = mask if mask.dtype == np.bool_ else mask > MASKED_BELOW
    seen: Bool = np.asarray(per_head.any(axis=0))
    differ = bool((per_head != seen).any())
    if diagonal is not None:
        seen = seen & diagonal
    bias = np.zeros(per_head.shape, dtype=np.float32) if mask.dtype == np.bool_ else mask.astype(np.float32)
    bias = np.where(per_head, bias, np.float32(OTHER_HEADS_ONLY))
    bias = np.where(seen, bias, np.float32(0))
    return CapturedMask(*_causal_or_not(seen), bias if bias.any() else None, differ)


def _causal_or_not(seen: Bool) -> tuple[bool, Bool | None]:
    """Whether rows see no later key, and the positions to store beside that, if any. A single row is not causal."""
    L_q, L_k = seen.shape
    lower = np.tri(L_q, L_k, L_k - L_q, dtype=np.bool_)
    causal = 1 < L_q <= L_k and not (seen & ~lower).any()
    complete = (seen == lower).all() if causal else seen.all()
    return causal, None if complete else seen
