"""Attention written out: a product, anything pointwise, softmax, a product."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.contraction import attend, score_operands
from dsasim.trace.capture.lineage import (
    COPIES,
    LINEAGE,
    PROJECTIONS,
    Pairs,
    Probabilities,
    Softmax,
    TrackedScores,
    Weights,
    after,
    is_weight,
    lineage_of,
    paired,
    still_pairs,
    tensors_in,
    version_of,
)

PRODUCTS = frozenset(("matmul", "__matmul__", "mm", "bmm", "baddbmm", "addmm", "einsum"))
SOFTMAX = frozenset(("softmax", "_softmax", "_safe_softmax", "softmin"))
OPERANDS = ("batch1", "mat1", "other", "mat2", "tensor2", "batch2")
UNKNOWN_SCORES = "what went into softmax is no product of two tensors that are not weights"
NO_SOFTMAX = "two products without a softmax between them (linear, sigmoid or hand-written softmax?)"
CHANGED = "q or k was changed in place after their product"
UNUSED = "the probabilities of a softmax met no values in a product (a broadcast sum, or no attention at all?)"
ROUTE = "product, softmax, product"


@dataclass
class Eager:
    """Follows tensor functions one by one; a finished attention goes to `on_call`, one that got lost to `on_lost`.

    `where` names what runs when a softmax over pairs of rows is met; those that came to nothing are in `unused`.
    """

    on_call: Callable[[AttentionCall], None]
    on_lost: Callable[[str], None]
    where: Callable[[], str]
    _open: list[Softmax] = field(default_factory=list)

    def unused(self) -> list[str]:
        """Where a softmax over scores ran whose probabilities met no values, since this was asked last."""
        places = [softmax.where for softmax in self._open if not softmax.used]
        self._open.clear()
        return places

    def follow(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Look at a call that returned the tensor `out`."""
        if name in PRODUCTS:
            self._product(name, args, kwargs, out)
            return
        if name in SOFTMAX:
            if not isinstance(getattr(out, LINEAGE, None), Probabilities):  # another mode has looked at it already
                setattr(out, LINEAGE, self._softmax(name, args, kwargs, out))
            return
        if name in COPIES and args and is_weight(args[0]):
            setattr(out, LINEAGE, Weights())
            return
        source, lineage = lineage_of(args, kwargs)
        if lineage is None or isinstance(lineage, Pairs):
            kept = paired(name, args, kwargs, out)
            if kept is None and lineage is not None and still_pairs(source, args, kwargs, out):
                kept = lineage
            if kept is not None or lineage is not None:
                setattr(out, LINEAGE, kept)
            return
        if name in PROJECTIONS:
            return
        kept = after(lineage, func, name, source, args, kwargs, out)
        reshaped = kept.swapped == lineage.swapped and out.shape[-2:] != source.shape[-2:]
        # weights of experts or classes, perhaps: they would be followed through all that they are summed into
        setattr(out, LINEAGE, None if reshaped and lineage.lost == UNKNOWN_SCORES else kept)

    def _softmax(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Probabilities | None:
        found = probabilities(name, args, kwargs)
        pairs = isinstance(lineage_of(args, kwargs)[1], Pairs)
        if found is None:
            if out.ndim < 2:
                return None
            found = Probabilities(TrackedScores(out, out, 1.0), out, lost=UNKNOWN_SCORES)
        if pairs or found.lost != UNKNOWN_SCORES:
            found = replace(found, softmax=Softmax(self.where()))
            self._open.append(found.softmax)
        return found

    def _product(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        operands = _operands(name, args, kwargs)
        if operands is None:
            self._lost_in(name, args, kwargs)
            return
        equation, a, b, alpha = operands
        of_a, of_b = getattr(a, LINEAGE, None), getattr(b, LINEAGE, None)
        for probs, first in ((of_a, True), (of_b, False)):
            if isinstance(probs, Probabilities):
                self._finish(probs, equation, a, b, out, first=first)
                return
        for scores, tensor, other in ((of_a, a, b), (of_b, b, a)):
            if isinstance(scores, TrackedScores) and scores.shaped(tensor) and not is_weight(other):
                self.on_lost(NO_SOFTMAX)
                return
        made = None if is_weight(a) or is_weight(b) else score_operands(equation, a, b)
        if made is not None:
            q, k, swapped = made
            made_of = ((a, version_of(a)), (b, version_of(b)))
            setattr(out, LINEAGE, TrackedScores(q, k, alpha, precision=out.dtype, swapped=swapped, made_of=made_of))

    def _lost_in(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Say that probabilities went into a product of three operands or more."""
        for tensor in tensors_in(args, kwargs):
            if isinstance(probs := getattr(tensor, LINEAGE, None), Probabilities):
                probs.softmax.used = True
                self.on_lost(f"probabilities in {name} of more than two operands, or of a form that cannot be read")
                return

    def _finish(self, probs: Probabilities, equation: str, a: Any, b: Any, out: Any, *, first: bool) -> None:
        probs.softmax.used = True
        found = attend(equation, a, b, out, probabilities_first=first, swapped=probs.swapped)
        lost = probs.lost or probs.scores.lost or (CHANGED if probs.scores.stale else "")
        if found is None or lost:
            self.on_lost(lost or "probabilities in a product that does not sum over the keys")
            return
        values, result = found
        self.on_call(replace(scores_call(probs), v=values, out=result))


def probabilities(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Probabilities | None:
    """What a call of softmax makes of tracked scores; None for a softmax of anything else.

    Over the last axis or the one before; over the axis of the queries, q and k exchange their roles.
    """
    source, scores = lineage_of(args, kwargs)
    if not isinstance(scores, TrackedScores):
        return None
    axis = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    axis = axis - source.ndim if isinstance(axis, int) and axis >= 0 else axis
    if not scores.shaped(source):
        return Probabilities(scores, source, lost=scores.lost or f"scores became {list(source.shape)} before softmax")
    if axis not in (-1, -2):
        return Probabilities(scores, source, lost=f"softmax over axis {axis}, not over keys")
    over_last = axis == -1
    if over_last == scores.swapped:  # the axis of the model's first operand
        scores = replace(scores, q=scores.k, k=scores.q, turned=not scores.turned)
    if name == "softmin":
        scores, source = replace(scores, scale=-scores.scale), -source
    return Probabilities(scores, source if over_last else source.mT, swapped=not over_last)


def scores_call(probs: Probabilities) -> AttentionCall:
    """A call whose values are not known yet: `v` is None, and the scores stand for its output."""
    scores = probs.scores
    return AttentionCall(
        scores.q,
        scores.k,
        None,
        probs.values,
        scale=scores.scale,
        route=ROUTE,
        scores=probs.values,
        swapped=scores.turned,
        dropout=probs.dropout,
        precision=scores.precision,
        altered=scores.altered,
    )


def _operands(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any, Any, float] | None:
    """Equation (empty for a matrix product), the two operands and the factor of a product."""
    if name == "einsum":
        operands = args[1] if len(args) >= 2 and isinstance(args[1], tuple | list) else args[1:]
        if not args or not isinstance(args[0], str) or len(operands) != 2:
            return None
        return args[0], operands[0], operands[1], 1.0
    given = list(args) + [kwargs[key] for key in OPERANDS if key in kwargs]
    if name in ("baddbmm", "addmm"):
        given = given[1:]
    if len(given) < 2 or not all(isinstance(tensor, torch.Tensor) for tensor in given[:2]):
        return None
    return "", given[0], given[1], float(kwargs.get("alpha", 1.0)) if name in ("baddbmm", "addmm") else 1.0
