"""What a tensor of the model is to an attention that is written out, and what each further operation makes of it.

It is kept as a Python attribute of the tensor, and lives as long. Only q, k and the scale, sign included, are followed
by name of operation; masks and biases are the difference between what went into softmax and scale * q k^T, so whatever
a model does to its scores is in the trace exactly.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch

LINEAGE = "_dsasim_lineage"
NEGATE = frozenset(("neg", "neg_", "__neg__", "negative", "negative_"))
MULTIPLY = frozenset(("mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply", "multiply_"))
DIVIDE = frozenset(("div", "div_", "__truediv__", "__itruediv__", "__div__", "true_divide", "divide", "divide_"))
ADD = frozenset(("add", "add_", "__add__", "__radd__", "__iadd__"))
SUBTRACT = frozenset(("sub", "sub_", "__sub__", "__isub__", "subtract", "subtract_"))
SUBTRACT_FROM = frozenset(("rsub", "__rsub__"))
DROPOUT = frozenset(("dropout", "dropout_", "feature_dropout", "alpha_dropout"))
TRANSPOSE = frozenset(("transpose", "swapaxes", "swapdims", "permute", "t", "transpose_"))
TRANSPOSED = tuple(getattr(torch.Tensor, name).__get__ for name in ("mT", "T", "H", "mH"))
PLACING = frozenset(
    (
        "view",
        "reshape",
        "view_as",
        "reshape_as",
        "_unsafe_view",
        "expand",
        "expand_as",
        "unsqueeze",
        "squeeze",
        "flatten",
    )
    + ("unflatten", "contiguous", "clone", "detach", "alias", "to", "_to_copy", "type", "type_as", "float", "double")
    + ("half", "bfloat16", "cpu", "cuda", "__getitem__", "select", "slice", "narrow", "permute", "transpose", "movedim")
    + ("masked_fill", "masked_fill_", "where", "copy_", "index_fill", "index_fill_", "fill_diagonal_", "cat", "stack")
)
"""Operations that change no score, but for those that are forbidden."""
PROJECTIONS = frozenset(("linear", "bilinear", "conv1d", "conv2d", "conv3d", "layer_norm", "rms_norm", "group_norm"))
"""Layers of weights: what comes out is made of scores no more than any activation is."""
COPIES = frozenset(
    ("to", "_to_copy", "type", "float", "half", "bfloat16", "__getitem__", "index", "index_select", "gather", "clone")
)
"""Operations whose result, made of a weight, is one too: a cast, or the experts that tokens were sent to."""


@dataclass
class Softmax:
    """A softmax over scores that ran in `where`; `used` once its probabilities met values, or their loss was said."""

    where: str
    used: bool = False


@dataclass(frozen=True)
class Weights:
    """A weight of the model, copied."""


@dataclass(frozen=True)
class Pairs:
    """Something of every pair of rows of two tensors, or made of that: scores, perhaps, but no product was seen."""


@dataclass(frozen=True)
class TrackedScores:
    """q k^T times `scale`, perhaps with more done to it; q [..., L_q, d], k [..., L_k, d].

    `swapped`: the tensor is [..., L_k, L_q] as it stands. `precision`: the type the product was computed in. `altered`
    names what was done beside scaling and adding. `lost` says what happened that cannot be followed. `made_of`: the
    operands of the product, each with how often it had been changed in place by then.
    """

    q: Any
    k: Any
    scale: float
    precision: Any = None
    swapped: bool = False
    turned: bool = False
    altered: str = ""
    lost: str = ""
    made_of: tuple[tuple[Any, int], ...] = ()

    @property
    def stale(self) -> bool:
        """Whether an operand was changed in place after the product."""
        return any(version_of(tensor) != version for tensor, version in self.made_of)

    def shaped(self, tensor: Any) -> bool:
        """Whether the last two axes of a tensor are still those of the scores."""
        wanted = (self.q.shape[-2], self.k.shape[-2])
        return tuple(tensor.shape[-2:]) == (wanted[::-1] if self.swapped else wanted)


@dataclass(frozen=True)
class Probabilities:
    """Softmax over the keys of `scores`, whose final values are `values` [..., L_q, L_k]; swapped: [..., L_k, L_q]."""

    scores: TrackedScores
    values: Any
    softmax: Softmax = field(default_factory=lambda: Softmax("", used=True))
    swapped: bool = False
    dropout: float = 0.0
    lost: str = ""


def lineage_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The first argument with a lineage (inside lists too, as of torch.cat), and it; scores go before mere pairs."""
    given = ((tensor, getattr(tensor, LINEAGE, None)) for tensor in tensors_in(args, kwargs))
    found = [
        (tensor, lineage) for tensor, lineage in given if isinstance(lineage, TrackedScores | Probabilities | Pairs)
    ]
    return next((each for each in found if not isinstance(each[1], Pairs)), found[0] if found else (None, None))


def tensors_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """The tensors among the arguments of a function, those in lists and tuples too."""
    for value in (*args, *kwargs.values()):
        for tensor in value if isinstance(value, tuple | list) else (value,):
            if isinstance(tensor, torch.Tensor):
                yield tensor


def version_of(tensor: Any) -> int:
    """How often a tensor was changed in place, as PyTorch counts it; 0 of one made in inference mode."""
    return 0 if tensor.is_inference() else int(tensor._version)  # noqa: SLF001


def is_weight(tensor: Any) -> bool:
    """A parameter, a view of one or a copy: a projection, not a key."""
    if isinstance(getattr(tensor, LINEAGE, None), Weights):
        return True
    while tensor is not None:
        if isinstance(tensor, torch.nn.Parameter):
            return True
        tensor = tensor._base  # noqa: SLF001
    return False


def paired(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Pairs | None:
    """Pairs, when two tensors of activations were combined so that the result has more numbers than either."""
    operands = [tensor for tensor in tensors_in(args, kwargs) if tensor.is_floating_point() and not is_weight(tensor)]
    if len(operands) != 2:
        return None
    outer = name in MULTIPLY | ADD | SUBTRACT and out.numel() > max(tensor.numel() for tensor in operands)
    return Pairs() if name == "cdist" or (outer and out.ndim > 2) else None


def still_pairs(source: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> bool:
    """Whether what was made of pairs is one number a pair or less, and no layer of the model's weights came between.

    A layer that makes one number of each pair is the score of additive attention.
    """
    others = [tensor for tensor in tensors_in(args, kwargs) if tensor is not source]
    return out.numel() <= source.numel() and (out.shape[-1:] == (1,) or not any(map(is_weight, others)))


def after(
    lineage: Any, func: Any, name: str, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> Any:
    """The lineage of what an operation or a view made of a tensor of scores or probabilities."""
    if transposes(func, name, source, args, kwargs):
        return replace(lineage, swapped=not lineage.swapped)
    if tuple(out.shape[-2:]) != tuple(source.shape[-2:]):
        return replace(lineage, lost=lineage.lost or f"{name} made {list(out.shape)} of {list(source.shape)}")
    if lineage.lost:
        return lineage
    if isinstance(lineage, TrackedScores):
        return _scaled(lineage, name, source, [*args[:2], *kwargs.values()], out)
    if name in DROPOUT:
        share, training = _dropout(args, kwargs)
        return replace(lineage, dropout=max(lineage.dropout, share if training else 0.0))
    return lineage


def _scaled(scores: TrackedScores, name: str, source: Any, operands: list[Any], out: Any) -> TrackedScores:
    """The lineage of scores after arithmetic: -(s), c - s, c s and s / c change the scale, or q or k where c is not one
    number; what else is done to s is no scale.
    """
    if name in NEGATE | SUBTRACT_FROM or (name in SUBTRACT and operands[0] is not source):
        return replace(scores, scale=-scores.scale)
    if name in PLACING | ADD | SUBTRACT:
        return scores
    if name not in MULTIPLY | DIVIDE or (name in DIVIDE and operands[0] is not source):
        return replace(scores, altered=scores.altered or name)
    factor = next((operand for operand in operands if operand is not source), None)
    if isinstance(factor, torch.Tensor) and factor.numel() > 1:
        return _scaled_by_axis(scores, 1 / factor if name in DIVIDE else factor, tuple(out.shape[:-2]))
    if not isinstance(factor, int | float | torch.Tensor):
        return replace(scores, altered=scores.altered or name)
    by = float(factor)
    return replace(scores, scale=scores.scale / by if name in DIVIDE else scores.scale * by)


def _scaled_by_axis(scores: TrackedScores, factor: Any, lead: tuple[int, ...]) -> TrackedScores:
    """Scores [*lead, rows, columns] times a tensor: a factor a head or a row belongs to q, a factor a key to k.

    One a position is no scale, and neither is one for leading axes that q and k do not have.
    """
    flat = torch.broadcast_shapes(scores.q.shape[:-2], scores.k.shape[:-2])
    by_row = factor.ndim > 1 and factor.shape[-1] == 1
    if math.prod(flat) != math.prod(lead) or not (by_row or factor.ndim == 1 or factor.shape[-2] == 1):
        return replace(scores, altered=scores.altered or "a factor for each position")
    q, k = (side.expand(*flat, *side.shape[-2:]).reshape(*lead, *side.shape[-2:]) for side in (scores.q, scores.k))
    factor = factor if by_row else factor[..., None] if factor.ndim == 1 else factor.mT
    return replace(scores, q=q, k=k * factor) if by_row == scores.swapped else replace(scores, q=q * factor, k=k)


def _dropout(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, bool]:
    given = dict(zip(("input", "p", "training"), args, strict=False)) | kwargs
    return float(given.get("p", 0.5)), bool(given.get("training", given.get("train", True)))


def transposes(func: Any, name: str, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
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
