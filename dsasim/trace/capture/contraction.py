"""Products of two operands, matrix or einsum, in the order [..., rows, columns] that attention is written in."""

from typing import Any

Parsed = tuple[str, str, str]


def score_operands(equation: str, a: Any, b: Any) -> tuple[Any, Any, bool] | None:
    """Q [..., L_q, d], k [..., L_k, d] of a score product, and whether its result is [..., L_k, L_q].

    Their leading axes broadcast to those of the result. None when it is not a product of rows with rows.
    """
    if not equation:
        if a.ndim < 2 or b.ndim < 2:
            return None
        return _rows_of_one_length(a, b.mT, swapped=False)
    parsed = parse(equation, a.ndim, b.ndim)
    if parsed is None:
        return None
    of_a, of_b, of_out = parsed
    summed = [axis for axis in of_a if axis in of_b and axis not in of_out]
    rows, columns = _only_in(of_a, of_b, of_out), _only_in(of_b, of_a, of_out)
    if len(summed) != 1 or not rows or not columns:
        return None
    # with grouped heads one operand has more axes of its own: all but the last are leading axes
    row, column = rows[-1], columns[-1]
    if set(of_out[-2:]) != {row, column}:
        return None
    lead = [axis for axis in of_out if axis not in (row, column)]
    q = arrange(a, of_a, [*lead, row, summed[0]])
    k = arrange(b, of_b, [*lead, column, summed[0]])
    return _rows_of_one_length(q, k, swapped=of_out[-1] == row)


def attend(
    equation: str, a: Any, b: Any, out: Any, *, probabilities_first: bool, swapped: bool
) -> tuple[Any, Any] | None:
    """Values [..., L_k, d] and output [..., L_q, d] of the product of probabilities and values.

    The probabilities are [..., L_q, L_k], or [..., L_k, L_q] where `swapped`. None when keys are not summed over.
    """
    if not equation:
        if a.ndim < 2 or b.ndim < 2:
            return None
        if probabilities_first != swapped:
            return (b, out) if probabilities_first else (a.mT, out.mT)
        return None
    parsed = parse(equation, a.ndim, b.ndim)
    if parsed is None:
        return None
    of_p, of_v = parsed[:2] if probabilities_first else parsed[1::-1]
    values, of_out = (b if probabilities_first else a), parsed[2]
    row, key = (of_p[-1], of_p[-2]) if swapped else (of_p[-2], of_p[-1])
    depth = [axis for axis in of_v if axis not in of_p]
    lead = list(of_p[:-2])
    if len(depth) != 1 or key in of_out or key not in of_v or {*lead, row, depth[0]} != set(of_out):
        return None
    return arrange(values, of_v, [*lead, key, depth[0]]), arrange(out, of_out, [*lead, row, depth[0]])


def parse(equation: str, a_axes: int, b_axes: int) -> Parsed | None:
    """The letters of both operands and of the result of an einsum, an ellipsis written out; None without an arrow."""
    left, arrow, of_out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or len(terms) != 2:
        return None
    free = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
    spread = [axes - len(term.replace("...", "")) for term, axes in zip(terms, (a_axes, b_axes), strict=True)]
    widest = max(spread)
    names = "".join(free[:widest])
    of_a, of_b = (
        term.replace("...", names[widest - extra :] if extra > 0 else "")
        for term, extra in zip(terms, spread, strict=True)
    )
    return of_a, of_b, of_out.replace("...", names)


def arrange(tensor: Any, axes: str, order: list[str]) -> Any:
    """A view of a tensor with its named axes in this order; an axis it lacks has extent 1."""
    here = [axis for axis in order if axis in axes]
    view = tensor.permute([axes.index(axis) for axis in here])
    for at, axis in enumerate(order):
        if axis not in axes:
            view = view.unsqueeze(at)
    return view


def _only_in(axes: str, others: str, of_out: str) -> list[str]:
    return sorted((axis for axis in axes if axis not in others and axis in of_out), key=of_out.index)


def _rows_of_one_length(q: Any, k: Any, *, swapped: bool) -> tuple[Any, Any, bool] | None:
    if q.shape[-1] != k.shape[-1] or q.shape[-1] == 1:  # an outer product is no score: rotary angles are one
        return None
    return q, k, swapped
