"""How far one array is from another: six figures a head, and the gates that they must stay within."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsasim.validate.check import Cell, Check, CheckTable

FP32_GATE, FP16_GATE = 1e-5, 1e-2
"""Largest rel. L2 of 32-bit and of 16-bit stores or arithmetic, as flashinfer-ai/flashinfer-bench has it."""

ELEMENT_ABS, ELEMENT_REL = 1e-2, 1e-2
"""A single value is off where it exceeds both: flashinfer-bench's rule for 16-bit results."""

SMALL_RATIO = 1e-3
"""Relative errors are over at least this share of the largest reference value: an exact 0 has no relative error."""

COLUMNS = (
    "layer", "head", "max abs", "max rel", "RMSE", "rel L1", "rel L2", "cosine", "values off", "worst row", "its rel L2"
)  # fmt: skip


@dataclass(frozen=True)
class Mismatch:
    """One value that differs: its query row and column, and what both sides have there."""

    row: int
    column: int
    found: float
    reference: float

    def __str__(self) -> str:
        return f"row {self.row} column {self.column} is {self.found:.6g}, reference {self.reference:.6g}"


@dataclass(frozen=True)
class HeadError:
    """The difference of one head's [rows, n] from its reference.

    max_abs          largest |d|
    max_rel          largest |d| / |ref|, |ref| taken as at least SMALL_RATIO of its largest
    rmse             sqrt(mean d^2)
    rel_l1           sum |d| / sum |ref| (SpargeAttn's metric)
    rel_l2           sqrt(sum d^2 / sum ref^2)
    cosine           of both as one long vector
    values_off       values with |d| above ELEMENT_ABS and |d| / |ref| above ELEMENT_REL
    worst_row        the query row with the largest rel. L2 of its own, worst_row_rel_l2 (rows near 0: as max_rel)
    worst_value      the value with the largest |d|, of those off or else of the worst row; the first that is not finite

    Anything that is not finite on either side makes all errors infinite: NaN never passes.
    """

    layer: int | str
    """Its number, and of several sequences which (`subject.cell_of`)."""
    head: int
    max_abs: float
    max_rel: float
    rmse: float
    rel_l1: float
    rel_l2: float
    cosine: float
    values_off: int
    worst_row: int
    worst_row_rel_l2: float
    worst_value: Mismatch

    @classmethod
    def of(
        cls,
        layer: int | str,
        head: int,
        found: NDArray[np.floating],
        reference: NDArray[np.floating],
        rows: NDArray[np.integer] | None = None,
    ) -> "HeadError":
        """Compare [rows, n] with a reference; `rows` are the rows' numbers, 0, 1, … if None.

        Worked example: found [[3, 4.1]] for [[3, 4]]: max_abs 0.1, max_rel 0.025, rmse 0.1 / sqrt(2) = 0.0707, rel_l1
        0.1 / 7 = 0.0143, rel_l2 0.1 / 5 = 0.02, and one value off: 0.1 > 0.01 and 0.025 > 0.01.
        """
        found, reference = found.astype(np.float64), reference.astype(np.float64)
        rows = np.arange(len(found)) if rows is None else rows
        lost = ~(np.isfinite(found) & np.isfinite(reference))
        if lost.any():
            off, value = math.inf, _value(lost, found, reference, rows)
            return cls(layer, head, off, off, off, off, off, -off, int(lost.sum()), value.row, off, value)
        difference = np.abs(found - reference)
        is_off = difference > np.maximum(ELEMENT_ABS, ELEMENT_REL * np.abs(reference))
        per_row = _share(_norms(difference), _norms(reference))
        row = int(np.argmax(per_row))
        at_worst = is_off if is_off.any() else np.arange(len(found))[:, None] == row
        return cls(
            layer=layer,
            head=head,
            max_abs=float(difference.max()),
            max_rel=float(_share(difference, np.abs(reference)).max()),
            rmse=float(np.sqrt(np.mean(difference**2))),
            rel_l1=_ratio(float(difference.sum()), float(np.abs(reference).sum())),
            rel_l2=_ratio(float(np.linalg.norm(difference)), float(np.linalg.norm(reference))),
            cosine=_cosine(found, reference),
            values_off=int(is_off.sum()),
            worst_row=int(rows[row]),
            worst_row_rel_l2=float(per_row[row]),
            worst_value=_value(np.where(at_worst, difference, -1.0), found, reference, rows),
        )

    def passes(self, gate: float, rows: bool) -> bool:
        """Whether the head is within the gate, and under the gate of 16-bit stores has no value off either."""
        return self.gated(rows) <= gate and (gate != FP16_GATE or self.values_off == 0)

    def gated(self, rows: bool) -> float:
        """What must stay within a gate: the head's rel. L2, and that of each of its `rows` too."""
        return max(self.rel_l2, self.worst_row_rel_l2) if rows else self.rel_l2

    @property
    def where(self) -> str:
        """The place of the largest error, in words."""
        return f"layer {self.layer} head {self.head} row {self.worst_row}"


def compared(
    name: str, title: str, errors: Sequence[HeadError], gate: float, detail: str = "", *, rows: bool = True
) -> Check:
    """The check that all heads, and each of their `rows`, are within `gate`; `detail` is for a check that passes."""
    worst = max(errors, key=lambda error: (error.gated(rows), error.worst_row_rel_l2))
    failed = [error for error in errors if not error.passes(gate, rows)]
    if failed:
        named = worst if worst in failed else failed[0]
        detail = _complaint(named, len(failed), len(errors), gate, rows)
    return Check(
        name=name,
        title=title,
        status="failed" if failed else "passed",
        detail=detail,
        gate=gate,
        figures={
            "heads": len(errors),
            "max_abs": finite(max(error.max_abs for error in errors)),
            "max_rel": finite(max(error.max_rel for error in errors)),
            "rmse": finite(max(error.rmse for error in errors)),
            "rel_l1": finite(max(error.rel_l1 for error in errors)),
            "rel_l2": finite(max(error.rel_l2 for error in errors)),
            "cosine": finite(min(error.cosine for error in errors)),
            "values_off": sum(error.values_off for error in errors),
            "worst_row_rel_l2": finite(max(error.worst_row_rel_l2 for error in errors)),
            "gated": finite(worst.gated(rows)),
        },
        tables=(CheckTable("heads", COLUMNS, tuple(_cells(error) for error in errors), detail=True),),
    )


def finite(value: float) -> float | None:
    """The value, or None for what JSON cannot hold."""
    return value if math.isfinite(value) else None


def _complaint(worst: HeadError, failed: int, total: int, gate: float, rows: bool) -> str:
    if not math.isfinite(worst.rel_l2):
        what = f"{worst.where}: NaN or Inf: {worst.worst_value}"
    elif worst.gated(rows) <= gate:
        off = f"layer {worst.layer} head {worst.head} {worst.worst_value}"
        what = f"{off}: {worst.values_off} values off by more than {ELEMENT_ABS:g} and {ELEMENT_REL:.0%}"
    else:
        of_row, of_head = f"rel. L2 {worst.worst_row_rel_l2:.3g}", f"(the head's: {worst.rel_l2:.3g})"
        what = f"{worst.where}: {of_row}, gate {gate:g} {of_head}; {worst.worst_value}"
    return what if failed == 1 else f"{what}; {failed} of {total} heads fail"


def _cells(error: HeadError) -> tuple[Cell, ...]:
    figures = (error.max_abs, error.max_rel, error.rmse, error.rel_l1, error.rel_l2, error.cosine)
    last = (error.values_off, error.worst_row, finite(error.worst_row_rel_l2))
    return (error.layer, error.head, *map(finite, figures), *last)


def _value(
    weight: NDArray[Any], found: NDArray[np.floating], reference: NDArray[np.floating], rows: NDArray[np.integer]
) -> Mismatch:
    """The value where `weight` is largest."""
    row, column = (int(axis) for axis in np.unravel_index(int(np.argmax(weight)), weight.shape))
    return Mismatch(int(rows[row]), column, float(found[row, column]), float(reference[row, column]))


def _norms(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    norms: NDArray[np.floating] = np.linalg.norm(rows, axis=1)
    return norms


def _share(part: NDArray[np.floating], whole: NDArray[np.floating]) -> NDArray[np.floating]:
    """Part / whole, with `whole` at least SMALL_RATIO of its largest; where all of it is 0, 0 for 0 and else Inf."""
    largest = float(whole.max())
    if largest == 0.0:
        return np.where(part > 0, np.inf, 0.0)
    share: NDArray[np.floating] = part / np.maximum(whole, SMALL_RATIO * largest)
    return share


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.inf if part else 0.0


def _cosine(found: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    norms = float(np.linalg.norm(found) * np.linalg.norm(reference))
    if norms == 0.0:
        return 1.0 if not (found.any() or reference.any()) else 0.0
    return float(np.vdot(found, reference)) / norms
