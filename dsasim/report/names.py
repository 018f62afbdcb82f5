"""What `dsasim list` shows, from what the parts say of themselves."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from rich.console import Console

from dsasim import registry
from dsasim.config.loader import list_archs
from dsasim.model.dram_preset import load_presets
from dsasim.report.style import new_table
from dsasim.sweep.metrics import METRICS
from dsasim.trace.find import shipped_traces


class ListedName(NamedTuple):
    """A name, where it comes from, and what it is."""

    name: str
    origin: str
    summary: str


def entries(kind: str) -> list[ListedName]:
    """All names of a kind, sorted."""
    return _LISTS[kind]()


def print_entries(found: Sequence[ListedName], console: Console) -> None:
    """Print a row a name."""
    table = new_table("name", "from", "what it is")
    for column in table.columns:
        column.justify = "left"
    for entry in found:
        table.add_row(*entry)
    console.print(table)


def _parts(kind: str) -> list[ListedName]:
    return [
        ListedName(name, registry.origin(kind, name), registry.find(kind, name).summary)
        for name in registry.names(kind)
    ]


def _designs() -> list[ListedName]:
    """Machines, then the files of designs that ship."""
    files = [ListedName(arch.name, "a design of dsasim", arch.summary) for arch in list_archs()]
    return [*_parts("designs"), *files]


def _traces() -> list[ListedName]:
    return [ListedName(name, "dsasim", path.name) for name, path in shipped_traces().items()]


def _memories() -> list[ListedName]:
    return [
        ListedName(name, "dsasim", f"{preset.standard}, {preset.channel_bytes >> 20:,} MiB a channel")
        for name, preset in sorted(load_presets().items())
    ]


def _metrics() -> list[ListedName]:
    words = {"min": "less is better", "max": "more is better"}
    return [ListedName(name, "dsasim", words[metric.sense]) for name, metric in METRICS.items()]


_LISTS: Mapping[str, Callable[[], list[ListedName]]] = {
    **{kind: partial(_parts, kind) for kind in registry.ATTRIBUTES},
    "designs": _designs,
    "traces": _traces,
    "memories": _memories,
    "metrics": _metrics,
}
