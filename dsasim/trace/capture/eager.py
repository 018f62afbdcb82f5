"""Attention written out: a product, anything pointwise, softmax, a product.

Tensors that descend from a product q k^T carry what it came from as a Python attribute, which lives as long as they do.
Only q, k and the scale are followed by name of operation; masks and biases are taken from the difference between what
went into softmax and scale * q k^T, so whatever a model does to its scores is in the trace exactly.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.contraction import attend, score_operands

LINEAGE = "_dsasim_lineage"
PRODUCTS = frozenset(("matmul", "__matmul__", "mm", "bmm", "baddbmm", "einsum"))
MULTIPLY = frozenset(("mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply", "multiply_"))
DIVIDE = frozenset(("div", "div_", "__truediv__", "__itruediv__", "__div__", "true_divide", "divide", "divide_"))
SOFTMAX = frozenset(("softmax", "_softmax"))
UNKNOWN_SCORES = "what went into softmax is no product of two tensors that are not weights"
DROPOUT = frozenset(("dropout", "dropout_", "feature_dropout", "alpha_dropout"))
TRANSPOSE = frozenset(("transpose", "swapaxes", "swapdims", "permute", "t", "transpose_"))
TRANSPOSED = tuple(getattr(torch.Tensor, name).__get__ for name in ("mT", "T", "H", "mH"))


@dataclass(frozen=True)
class Scores:
    """q k^T times `scale`, perhaps with more done to it; q [..., L_q, d], k [..., L_k, d].

    `swapped`: the tensor is [..., L_k, L_q] as it stands. `lost` says what happened that cannot be followed.
    """

    q: Any
    k: Any
    scale: float
    swapped: bool = False
    turned: bool = False
    lost: str = ""


@dataclass(frozen=True)
class Probabilities:
    """Softmax over the keys of `scores`, whose final values are `values` [..., L_q, L_k]."""

    scores: Scores
    values: Any
    swapped: bool = False
    dropout: float = 0.0
    lost: str = ""


@dataclass(frozen=True)
class Eager:
    """Follows tensor functions one by one; a finished attention goes to `on_call`, one that got lost to `on_lost`."""

    on_call: Callable[[AttentionCall], None]
    on_lost: Callable[[str], None]

    def follow(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Look at a call that returned the tensor `out`."""
        name = getattr(func, "__name__", "")
        if name in PRODUCTS:
            self._product(name, args, kwargs, out)
            return
        source, lineage = _first_lineage(args, kwargs)
        if lineage is None:
            if name in SOFTMAX and out.ndim > 1:
                setattr(out, LINEAGE, Probabilities(Scores(out, out, 1.0), out, lost=UNKNOWN_SCORES))
            return
        if name in SOFTMAX and isinstance(lineage, Scores):
            setattr(out, LINEAGE, _softmax(lineage, source, args, kwargs))
        else:
            setattr(out, LINEAGE, _after(lineage, func, name, source, args, kwargs, out))

    def _product(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        operands = _operands(name, args, kwargs)
        if operands is None:
            return
        equation, a, b, alpha = operands
        of_a, of_b = getattr(a, LINEAGE, None), getattr(b, LINEAGE, None)
        for probabilities, first in ((of_a, True), (of_b, False)):
            if isinstance(probabilities, Probabilities):
                self._finish(probabilities, equation, a, b, out, first=first)
                return
        if isinstance(of_a, Scores) and _scores_shaped(of_a, a):
            self.on_lost("two products without a softmax between them (linear, sigmoid or hand-written softmax?)")
            return
        made = None if _is_weight(a) or _is_weight(b) else score_operands(equation, a, b)
        if made is not None:
            q, k, swapped = made
            setattr(out, LINEAGE, Scores(q, k, alpha, swapped=swapped))

    def _finish(self, probs: Probabilities, equation: str, a: Any, b: Any, out: Any, *, first: bool) -> None:
        found = attend(equation, a, b, out, probabilities_first=first, swapped=probs.swapped)
        lost = probs.lost or probs.scores.lost
        if found is None or lost:
            self.on_lost(lost or "probabilities in a product that does not sum over the keys")
            return
        values, result = found
        scores = probs.scores
        self.on_call(
            AttentionCall(
                scores.q,
                scores.k,
                values,
                result,
                scale=scores.scale,
                route="product, softmax, product",
                scores=probs.values,
                swapped=scores.turned,
                dropout=probs.dropout,
            )
        )


def _operands(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any, Any, float] | None:
    """Equation (empty for a matrix product), the two operands and the factor of a product."""
    if name == "einsum":
        operands = args[1] if len(args) == 2 and isinstance(args[1], tuple | list) else args[1:]
        if not isinstance(args[0], str) or len(operands) != 2:
            return None
        return args[0], operands[0], operands[1], 1.0
    given = list(args) + [kwargs[key] for key in ("batch1", "other", "mat2", "tensor2", "batch2") if key in kwargs]
    if name == "baddbmm":
        given = given[1:]
    if len(given) < 2 or not all(isinstance(tensor, torch.Tensor) for tensor in given[:2]):
        return None
    return "", given[0], given[1], float(kwargs.get("alpha", 1.0)) if name == "baddbmm" else 1.0


def _is_weight(tensor: Any) -> bool:
    """A parameter, or a view of one: a projection, not a key."""
    while tensor is not None:
        if isinstance(tensor, torch.nn.Parameter):
            return True
        tensor = tensor._base  # noqa: SLF001
    return False


def _scores_shaped(scores: Scores, tensor: Any) -> bool:
    wanted = (scores.q.shape[-2], scores.k.shape[-2])
    return tuple(tensor.shape[-2:]) == (wanted[::-1] if scores.swapped else wanted)


def _softmax(scores: Scores, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Probabilities:
    """Softmax over the last axis or the one before; over the axis of the queries, q and k exchange their roles."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    axis = axis - source.ndim if isinstance(axis, int) and axis >= 0 else axis
    if not _scores_shaped(scores, source):
        lost = scores.lost or f"scores became {list(source.shape)} before softmax"
        return Probabilities(scores, source, lost=lost)
    if axis not in (-1, -2):
        return Probabilities(scores, source, lost=f"softmax over axis {axis}, not over keys")
    over_last = axis == -1
    if over_last == scores.swapped:  # the axis of the model's first operand
        scores = replace(scores, q=scores.k, k=scores.q, turned=not scores.turned)
    return Probabilities(scores, source if over_last else source.mT, swapped=not over_last)


def _after(
    lineage: Any, func: Any, name: str, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> Any:
    """The lineage of what a pointwise operation or a view made of scores or probabilities."""
    if _turns(func, name, source, args, kwargs):
        return replace(lineage, swapped=not lineage.swapped)
    if tuple(out.shape[-2:]) != tuple(source.shape[-2:]):
        return replace(lineage, lost=lineage.lost or f"{name} made {list(out.shape)} of {list(source.shape)}")
    if isinstance(lineage, Probabilities):
        if name in DROPOUT:
            share, training = _dropout(args, kwargs)
            return replace(lineage, dropout=max(lineage.dropout, share if training else 0.0))
        return lineage
    factor = _scalar(args, source) if name in MULTIPLY | DIVIDE else None
    if factor is None or (name in DIVIDE and args[0] is not source):
        return lineage
    return replace(lineage, scale=lineage.scale * factor if name in MULTIPLY else lineage.scale / factor)


def _dropout(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, bool]:
    given = dict(zip(("input", "p", "training"), args, strict=False)) | kwargs
    return float(given.get("p", 0.5)), bool(given.get("training", given.get("train", True)))


def _turns(func: Any, name: str, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation exchanges the last two axes."""
    if any(func == getter for getter in TRANSPOSED):
        return True
    if name not in TRANSPOSE:
        return False
    axes = list(_whole_numbers([*args[1:], *kwargs.values()]))
    last = [axis - source.ndim if axis >= 0 else axis for axis in axes]
    return last[-2:] == [-1, -2] if name == "permute" else name == "t" or sorted(last) == [-2, -1]


def _whole_numbers(values: list[Any]) -> Iterator[int]:
    for value in values:
        if isinstance(value, int):
            yield value
        elif isinstance(value, tuple | list):
            yield from _whole_numbers(list(value))


def _scalar(args: tuple[Any, ...], source: Any) -> float | None:
    """The other operand of a multiplication or division, when it is one number."""
    for other in args[:2]:
        if other is source:
            continue
        if isinstance(other, int | float):
            return float(other)
        if isinstance(other, torch.Tensor) and other.numel() == 1 and source.numel() > 1:
            return float(other)
    return None


def _first_lineage(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The first argument with a lineage (inside lists too, as of torch.cat), and the lineage."""
    for value in (*args, *kwargs.values()):
        for tensor in value if isinstance(value, tuple | list) else (value,):
            if isinstance(tensor, torch.Tensor) and (lineage := getattr(tensor, LINEAGE, None)) is not None:
                return tensor, lineage
    return None, None
