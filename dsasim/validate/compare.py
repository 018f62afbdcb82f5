"""How far one array is from another: four figures a head, and the gate that they must stay within."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.validate.check import Cell, Check, Table

FP32_GATE, FP16_GATE = 1e-5, 1e-2
"""Largest rel. L2 of 32-bit and of 16-bit stores or arithmetic (facts/methods.md B4: practice of flashinfer-bench)."""

SMALL_RATIO = 1e-3
"""Relative errors are over at least this share of the largest reference value: an exact 0 has no relative error."""

COLUMNS = ("layer", "head", "max abs", "max rel", "rel L2", "cosine", "worst row", "its rel L2")


@dataclass(frozen=True)
class HeadError:
    """The difference of one head's [rows, n] from its reference.

    max_abs          largest |d|
    max_rel          largest |d| / |ref|, |ref| taken as at least SMALL_RATIO of its largest
    rel_l2           sqrt(sum d^2 / sum ref^2)
    cosine           of both as one long vector
    worst_row        the query row with the largest rel. L2 of its own, worst_row_rel_l2 (rows near 0: as max_rel)

    Anything that is not finite on either side makes all but `worst_row` infinite: NaN never passes.
    """

    layer: int
    head: int
    max_abs: float
    max_rel: float
    rel_l2: float
    cosine: float
    worst_row: int
    worst_row_rel_l2: float

    @classmethod
    def of(
        cls,
        layer: int,
        head: int,
        found: NDArray[np.floating],
        reference: NDArray[np.floating],
        rows: NDArray[np.integer] | None = None,
    ) -> "HeadError":
        """Compare [rows, n] with a reference; `rows` are the rows' numbers, 0, 1, … if None.

        Worked example: found [[3, 4.1]] for [[3, 4]]: max_abs 0.1, max_rel 0.025, rel_l2 0.1 / 5 = 0.02.
        """
        found, reference = found.astype(np.float64), reference.astype(np.float64)
        finite = np.isfinite(found).all(axis=1) & np.isfinite(reference).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            off = math.inf
            return cls(layer, head, off, off, off, -off, row if rows is None else int(rows[row]), off)
        difference = np.abs(found - reference)
        per_row = _share(_norms(difference), _norms(reference))
        row = int(np.argmax(per_row))
        return cls(
            layer=layer,
            head=head,
            max_abs=float(difference.max()),
            max_rel=float(_share(difference, np.abs(reference)).max()),
            rel_l2=_ratio(float(np.linalg.norm(difference)), float(np.linalg.norm(reference))),
            cosine=_cosine(found, reference),
            worst_row=row if rows is None else int(rows[row]),
            worst_row_rel_l2=float(per_row[row]),
        )

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
    failed = [error for error in errors if not error.gated(rows) <= gate]
    if failed:
        detail = _complaint(worst, len(failed), len(errors), gate)
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
            "rel_l2": finite(max(error.rel_l2 for error in errors)),
            "cosine": finite(min(error.cosine for error in errors)),
            "worst_row_rel_l2": finite(max(error.worst_row_rel_l2 for error in errors)),
            "gated": finite(worst.gated(rows)),
        },
        tables=(Table("heads", COLUMNS, tuple(_cells(error) for error in errors), detail=True),),
    )


def finite(value: float) -> float | None:
    """The value, or None for what JSON cannot hold."""
    return value if math.isfinite(value) else None


def _complaint(worst: HeadError, failed: int, total: int, gate: float) -> str:
    if not math.isfinite(worst.rel_l2):
        what = f"{worst.where}: NaN or Inf"
    else:
        what = f"{worst.where}: rel. L2 {worst.worst_row_rel_l2:.3g}, gate {gate:g} (the head's: {worst.rel_l2:.3g})"
    return what if failed == 1 else f"{what}; {failed} of {total} heads fail"


def _cells(error: HeadError) -> tuple[Cell, ...]:
    figures = (error.max_abs, error.max_rel, error.rel_l2, error.cosine)
    return (error.layer, error.head, *map(finite, figures), error.worst_row, finite(error.worst_row_rel_l2))


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
