"""One YAML document as plain values, with the place of every key, and nothing guessed.

Plain scalars follow YAML 1.2's core schema (`1e9` is a number). A form that YAML 1.1 and 1.2 read differently
(`on`, `012`, `1_000`, `1:30`) is an error, because two readers of one design must see the same design. Anchors,
aliases, merge keys and tags are refused: a design is read by people, top to bottom.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml

from dsasim.errors import ConfigError
from dsasim.inputs.printable import unprintable

KeyPath = tuple[str, ...]
"""The keys that lead to a value: ("buffers", "k", "banks")."""

UNREADABLE = object()
"""Stands where a value could not be read; that has been reported, and no key may hold it."""

MAX_DEPTH = 8
MAX_DIGITS = 15
"""Numbers of at most 15 significant digits survive decimal → double → decimal, so JSON shows what the YAML said."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_AMBIGUOUS = re.compile(
    r"[-+]?0[0-7_]+|[-+]?0[bxo][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*_[0-9_.eE+-]*|[-+]?[0-9]+(:[0-9]+)+(\.[0-9]*)?"
    r"|\d{4}-\d\d?-\d\d?([Tt ].*)?|y|yes|on|n|no|off",
    re.IGNORECASE,
)
_NOT_FINITE = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)
_EXPONENT_TOO_LONG = re.compile(r"[eE][-+]?[0-9]{3,}$")
_CONSTANTS = {"": None, "~": None} | {
    spelt: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for spelt in (word, word.capitalize(), word.upper())
}
"""As YAML spells them: `tRUE` is a text to every reader."""


@dataclass(frozen=True, order=True)
class SourcePlace:
    """Where a value was written: `label` is `file:line` or the flag; places sort in reading order."""

    order: int
    label: str


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong at one place."""

    place: SourcePlace
    path: KeyPath
    text: str

    def __str__(self) -> str:
        """Render as `file:line: section.key: text`."""
        return ": ".join(part for part in (self.place.label, ".".join(self.path), self.text) if part)


@dataclass
class Document:
    """A parsed document: nested plain values, the place of every key, and what was wrong while reading."""

    values: dict[str, Any]
    places: dict[KeyPath, SourcePlace]
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> SourcePlace:
        """Return the place of `path`, or of the nearest section above it that was written."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def value(self, path: KeyPath) -> Any:
        """Return the value at `path` as it was written; numbers are exact."""
        value: Any = self.values
        for name in path:
            value = value[name]
        return value


def parse_document(text: str, label: str, what: str = "a design") -> Document:
    """Parse the YAML `text` of the file called `label`; syntax errors raise ConfigError, the others are collected."""
    root = _compose(text, label)
    if root is None:
        raise ConfigError(f"{label}: the file is empty")
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{label}:{_line(root)}: {what} is a mapping of `key: value`, got {_kind(root)}")
    document = Document({}, {(): SourcePlace(_line(root), f"{label}:{_line(root)}")})
    document.values = _mapping(root, (), document, label)
    return document


def parse_scalar(text: str, label: str) -> Any:
    """Parse `text`, the right-hand side of the flag `label`, as one YAML scalar; raises ConfigError."""
    node = _compose(text, label)
    if node is not None and not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{label}: the value must be one scalar, got {_kind(node)}")
    try:
        return None if node is None else _scalar(node)
    except ValueError as error:
        raise ConfigError(f"{label}: {error}") from None


def scalar_value(text: str, *, plain: bool) -> Any:
    """Return the value of a scalar: None, bool, int, Decimal or str; ValueError where YAML versions disagree.

    A number is kept exactly: `0.1` is Decimal("0.1"), so that ceil(0.1 n) is right for every n.
    """
    if not plain:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _AMBIGUOUS.fullmatch(text):
        raise ValueError(
            f"`{text}` means different things to different YAML readers: write a plain decimal number, true or false, "
            f"or put text in quotes"
        )
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"`{text}` is not a finite number")
    if not _FRACTION.fullmatch(text):
        return text
    if _EXPONENT_TOO_LONG.search(text):
        raise ValueError(f"`{text[:40]}` is beyond any range")
    if sum(character.isdigit() for character in re.split("[eE]", text)[0].lstrip("+-0.")) > MAX_DIGITS:
        raise ValueError(f"`{text[:40]}` has more than {MAX_DIGITS} digits")
    return int(text) if _INTEGER.fullmatch(text) else Decimal(text)


def _compose(text: str, label: str) -> yaml.Node | None:
    try:
        _refuse_unread(text)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except _UnreadError as error:
        raise ConfigError(f"{label}:{error.line}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{label}:{mark.line + 1}" if mark else label
        hint = " (indent with spaces, not tabs)" if "'\\t'" in str(error.problem) else ""
        context = f" {error.context}" if error.context else ""
        raise ConfigError(f"{where}: not valid YAML: {error.problem}{context}{hint}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{label}:{line}: not a text file: it holds a control character") from None


class _UnreadError(Exception):
    """Valid YAML that no design may use, and the line it is on."""

    def __init__(self, problem: str, event: yaml.Event) -> None:
        super().__init__(problem)
        self.line = int(event.start_mark.line) + 1 if event.start_mark else 1


def _refuse_unread(text: str) -> None:
    """Raise _UnreadError at the first anchor, alias or tag, and where nesting passes MAX_DEPTH."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        problem = ""
        if getattr(event, "anchor", None):
            problem = "anchors and aliases (& and *) are not read"
        elif getattr(event, "tag", None):
            problem = "tags (!) are not read"
        elif depth > MAX_DEPTH:
            problem = f"nested more than {MAX_DEPTH} deep"
        if problem:
            raise _UnreadError(problem, event)


def _mapping(node: yaml.MappingNode, path: KeyPath, document: Document, label: str) -> dict[str, Any]:
    """Return the values of `node`; the first of two equal keys wins, and the second is a problem."""
    values: dict[str, Any] = {}
    for key, child, place in _entries(node, path, document, label):
        here = (*path, key)
        if key in values:
            first = document.places[here].label
            document.problems.append(Problem(place, here, f"duplicate key, first given at {first}"))
            continue
        document.places[here] = place
        values[key] = _value(child, here, document, label)
    return values


def _entries(
    node: yaml.MappingNode, path: KeyPath, document: Document, label: str
) -> Iterator[tuple[str, yaml.Node, SourcePlace]]:
    for key, child in node.value:
        place = SourcePlace(_line(key), f"{label}:{_line(key)}")
        if isinstance(key, yaml.ScalarNode) and (found := unprintable(key.value)):
            document.problems.append(Problem(place, path, f"a key holds the character '{found}'"))
        elif isinstance(key, yaml.ScalarNode) and key.value and key.value != "<<":
            yield key.value, child, place
        else:
            what = (
                "merge keys (<<) are not read" if isinstance(key, yaml.ScalarNode) and key.value else "a key is a word"
            )
            document.problems.append(Problem(place, path, what))


def _value(node: yaml.Node, path: KeyPath, document: Document, label: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document, label)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, str(i)), document, label) for i, item in enumerate(node.value)]
    try:
        return _scalar(node)
    except ValueError as error:
        document.problems.append(Problem(document.place(path), path, str(error)))
        return UNREADABLE


def _scalar(node: yaml.Node) -> Any:
    return scalar_value(node.value, plain=getattr(node, "style", None) is None)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
