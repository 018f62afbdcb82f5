"""The capture's view of a model with a hand on it: attention over the positions that somebody chooses."""

from collections.abc import Callable
from typing import Any

import torch

from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.eager import probabilities, scores_call
from dsasim.trace.capture.functions import AttentionMode, by_ourselves
from dsasim.trace.capture.kernels import SDPA, fused_call
from dsasim.trace.capture.lineage import LINEAGE, lineage_of
from dsasim.train.dsa.attention import ExactScores, attend, kept_softmax

Choose = Callable[[AttentionCall], tuple[ExactScores, Any] | None]


class KeepingMode(AttentionMode):
    """Asks `choose` of each attention, before its softmax, for its scores and what it keeps; None leaves it dense.

    Attention that is one call is computed here; where the model computes it itself, the scores it hands to softmax are
    masked and the rest is its own. A capture around this mode sees the dense attention of the same q, k and v.
    """

    def __init__(
        self,
        choose: Choose,
        on_call: Callable[[AttentionCall], None],
        on_lost: Callable[[str], None],
        where: Callable[[], str],
    ) -> None:
        super().__init__(on_call, on_lost, where)
        self._choose = choose

    def attention(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Attention in one call, over what is chosen."""
        dense = func(*args, **kwargs) if name != SDPA or _watched() else None
        with by_ourselves():
            call = fused_call(name, args, kwargs, args[0] if args else kwargs["query"])
            chosen = self._choose(call)
            self.on_call(call)
            if chosen is None:
                return func(*args, **kwargs) if dense is None else dense
            out = attend(call, *chosen)
        return (out, *dense[1:]) if isinstance(dense, tuple) else out

    def softmax(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Softmax of scores, over what is chosen; any other as it is."""
        with by_ourselves():
            probs = probabilities(name, args, kwargs)
            chosen = None if probs is None or probs.lost or probs.scores.lost else self._choose(scores_call(probs))
        dense = func(*args, **kwargs) if chosen is None or _watched() else None
        if probs is None or chosen is None:
            return dense
        source, _ = lineage_of(args, kwargs)
        with by_ourselves():
            masked, some = kept_softmax(probs.values, chosen[1].reshape(probs.values.shape))
            masked, some = (masked.mT, some.mT) if probs.swapped else (masked, some)
            masked = -masked if name == "softmin" else masked
            out = some * func(
                *(masked if given is source else given for given in args),
                **{key: masked if given is source else given for key, given in kwargs.items()},
            )
        setattr(out, LINEAGE, getattr(dense, LINEAGE, None))  # what a capture around has taken note of
        return out


def _watched() -> bool:
    """Whether another mode, such as a capture, is on beneath this one."""
    return bool(torch._C._len_torch_function_stack())  # noqa: SLF001  (no public way to ask)
