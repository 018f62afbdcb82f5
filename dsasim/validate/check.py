"""What a validation says: one `Check` a question, with figures and tables that every report renders alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped", "measured"]
"""`skipped` says why in `detail` and never counts as passed; `measured` has figures and no gate."""

Cell = str | int | float | None


@dataclass(frozen=True)
class CheckTable:
    """Rows under named columns; the first columns say what a row is about.

    A `detail` is too long for a terminal: it is in the JSON and on the page only. `data` says what the rows are of
    where that is not the trace: real and synthetic data are told apart beside every table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    detail: bool = False
    data: str = ""

    def to_json(self) -> dict[str, Any]:
        """The rows as objects keyed by column."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title} | ({"data": self.data} if self.data else {}) | {"rows": rows}


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    `name` is short and stable (for JSON), `title` a sentence; `detail` says what failed (layer, head, row, value), why
    the check was skipped, or what was compared. A figure that is not finite is None.
    """

    name: str
    title: str
    status: Status
    detail: str = ""
    gate: float | None = None
    figures: Mapping[str, Cell] = field(default_factory=dict)
    tables: tuple[CheckTable, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The check as JSON-ready values."""
        return {
            "name": self.name,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "gate": self.gate,
            "figures": dict(self.figures),
            "tables": [table.to_json() for table in self.tables],
        }


def skipped(name: str, title: str, reason: str) -> Check:
    """A check that could not be made."""
    return Check(name, title, "skipped", reason)
