"""What several commands of `dsasim` take: designs, traces, `--set`, and lists of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dsasim.errors import ConfigError, TraceError

if TYPE_CHECKING:
    from dsasim.trace.attention import AttentionTrace

DEFAULT_ARCH = "dsa-decoupled"
DEFAULT_TRACE = "smollm2-l512"

Arch = Annotated[str, typer.Argument(metavar="ARCH", help="A shipped design's name, or a YAML file.")]
Trace = Annotated[str, typer.Argument(metavar="TRACE", help="A shipped trace's name, or a .safetensors file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the design; may be repeated, the last wins."),
]


def parse_numbers(text: str, flag: str, existing: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers that `text` names, ascending and once each: `0,3` or `0-3,8`.

    Raises ConfigError naming `flag` if it cannot be read or names what is not in `existing`.
    """
    known, chosen = set(existing), set[int]()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        low, high = (_whole(word, text, flag) for word in (first, last if dash else first))
        if low > high:
            raise ConfigError(f"{flag} {text}: the range {part.strip()} runs backwards")
        # compared by count first: 0-999999999 must not be walked
        inside = {number for number in known if low <= number <= high}
        if len(inside) != high - low + 1:
            raise ConfigError(f"{flag} {text}: {part.strip()} is not in this trace, which has {_ranges(existing)}")
        chosen |= inside
    return tuple(sorted(chosen))


def parse_sample(text: str, flag: str) -> int | Literal["all"]:
    """Return which element of a batch `text` names, or all; ConfigError naming `flag` if it is neither."""
    if text.strip() == "all":
        return "all"
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ConfigError(f"{flag} {text}: expected a number such as 0, or all")
    return int(text)


def _whole(word: str, text: str, flag: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 9):
        raise ConfigError(f"{flag} {text}: expected numbers and ranges such as 0,3 or 0-3")
    return int(word)


def _ranges(numbers: Sequence[int]) -> str:
    """Say `0-8` or `13, 18, 29`."""
    ordered = sorted(numbers)
    if len(ordered) > 1 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]}-{ordered[-1]}"
    return ", ".join(map(str, ordered))


def refuse_design(trace: str) -> None:
    """TraceError where a shipped design's name stands in place of a trace."""
    from dsasim.config.loader import list_archs

    if trace in {shipped.name for shipped in list_archs()}:
        raise TraceError(f"{trace!r} is a design, not a trace: `dsasim run` takes the design first, then the trace")


@dataclass(frozen=True)
class TraceSelection:
    """A trace, and which of its layers and query heads were asked for; all where None."""

    trace: "AttentionTrace"
    layers: tuple[int, ...] | None
    heads: tuple[int, ...] | None


def open_selection(trace: str, layers: str | None, heads: str | None) -> TraceSelection:
    """Open a trace and read --layers and --heads against it: TraceError or ConfigError says what is wrong."""
    from dsasim.trace.find import find_trace
    from dsasim.trace.store import open_trace

    refuse_design(trace)
    opened = open_trace(find_trace(trace))
    chosen_layers = None if layers is None else parse_numbers(layers, "--layers", opened.layer_numbers)
    common_heads = range(min(opened.layer(number).num_heads for number in chosen_layers or opened.layer_numbers))
    chosen_heads = None if heads is None else parse_numbers(heads, "--heads", common_heads)
    return TraceSelection(opened, chosen_layers, chosen_heads)
