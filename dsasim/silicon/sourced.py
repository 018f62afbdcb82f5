"""Numbers that know where they come from, and the reader of the shipped tables (dsasim/silicon/tables)."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

FROM_MEMORY = "D"
"""Trust letter of a number nobody has checked; results call it assumed."""


@dataclass(frozen=True)
class SourcedNumber:
    """One table value, in the unit of its key, at `node_nm` (None where no technology node applies).

    `source` names an entry of the table's `sources`, which says it in full.
    """

    value: float
    source: str
    trust: str
    node_nm: int | None = None

    @property
    def provenance(self) -> str:
        """Source and trust in one phrase, as `provenance` words it."""
        return provenance(self.source, self.trust)


def provenance(source: str, trust: str) -> str:
    """A source and its trust letter, e.g. `CACTI 7.0 (B)`; trust D is worded as `assumed, from where`."""
    return f"assumed, {source}" if trust == FROM_MEMORY else f"{source} ({trust})"


def sourced_number(entry: dict[str, Any]) -> SourcedNumber:
    """Build a number from a table entry of value, source, trust and, for logic, node_nm."""
    return SourcedNumber(float(entry["value"]), entry["source"], entry["trust"], entry.get("node_nm"))


def table_text(name: str) -> str:
    """Text of a shipped table, from a checkout or an installed wheel."""
    return (resources.files("dsasim.silicon") / "tables" / name).read_text(encoding="utf-8")


@cache
def table(name: str) -> dict[str, Any]:
    """A shipped YAML table, parsed once a process."""
    parsed: dict[str, Any] = yaml.safe_load(table_text(name))
    return parsed
