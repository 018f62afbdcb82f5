"""A design as its author wrote it, comments and sources included, with `--set` written into the text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from dsasim.config.check import check_document
from dsasim.config.loader import arch_document, load_arch, locate_arch, read_yaml
from dsasim.config.overrides import last_of_each
from dsasim.config.resolved import arch_to_dict, arch_to_yaml, scalar_to_yaml
from dsasim.config.schema import MachineConfig
from dsasim.config.strict_yaml import Document, KeyPath
from dsasim.errors import ConfigError
from dsasim.inputs.printable import printable

NOT_KEPT = "# Every value as it is used; --set adds or removes a section here, so that comments could not be kept.\n"


def annotated_yaml(name_or_path: str, overrides: Sequence[str] = ()) -> str:
    """Return the file of a design; a value that `overrides` change says so, and what the file has.

    It is YAML that `load_arch` reads to the design as overridden. Where a section is added or taken away the text is
    the resolved design without comments, and says so. ConfigError for what `load_arch` refuses.
    """
    arch = load_arch(name_or_path, overrides)
    path, label = locate_arch(name_or_path)
    text = "".join(f"{_line(line)}\n" for line in read_yaml(path, label).splitlines())
    values = arch_to_dict(arch)
    try:
        for key in last_of_each(overrides):
            text = _changed(text, key, scalar_to_yaml(_at(values, key)))
    except _NotInPlaceError:
        return NOT_KEPT + arch_to_yaml(arch)
    return text if _reads_as(arch_document(path, label, text), arch) else NOT_KEPT + arch_to_yaml(arch)


def _line(line: str) -> str:
    """A line that does nothing to a terminal; tabs, which may stand in comments, are kept."""
    return "\t".join(map(printable, line.split("\t")))


def _at(values: Mapping[str, Any], path: KeyPath) -> Any:
    """The value at `path`; None for a section, and for what is in a section that is left out."""
    at: Any = values
    for name in path:
        at = at.get(name) if isinstance(at, dict) else None
    return None if isinstance(at, dict) else at


def _reads_as(document: Document, arch: MachineConfig) -> bool:
    try:
        return check_document(document) == arch
    except ConfigError:
        return False


class _NotInPlaceError(Exception):
    """A change that takes more than one line of the text."""


@dataclass(frozen=True)
class _KeyPlace:
    """Where a key is in a text: the mapping nearest to it, what of its path is missing there, its value if nothing."""

    mapping: yaml.MappingNode
    missing: KeyPath
    value: yaml.Node | None


def _find(node: yaml.Node | None, path: KeyPath) -> _KeyPlace:
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise _NotInPlaceError
    child = next((value for key, value in node.value if key.value == path[0]), None)
    if child is None or len(path) == 1:
        return _KeyPlace(node, path if child is None else (), child)
    return _find(child, path[1:])


def _changed(text: str, path: KeyPath, value: str) -> str:
    """The text with one value replaced, or one key added as the first of its section."""
    place = _find(yaml.compose(text, Loader=yaml.SafeLoader), path)
    if place.value is not None:
        return _replaced(text, place.value, path[-1], value)
    if len(place.missing) > 1:
        raise _NotInPlaceError
    start = place.mapping.start_mark
    if place.mapping.flow_style:
        inside = start.index + 1
        return _noted(f"{text[:inside]}{path[-1]}: {value}, {text[inside:]}", inside, path[-1], "")
    at = start.index - start.column
    return f"{text[:at]}{' ' * start.column}{path[-1]}: {value}  # --set\n{text[at:]}"


def _replaced(text: str, node: yaml.Node, key: str, value: str) -> str:
    start, end = node.start_mark, node.end_mark
    if not isinstance(node, yaml.ScalarNode) or start.line != end.line or start.index == end.index:
        raise _NotInPlaceError
    old = text[start.index : end.index]
    return _noted(
        text[: start.index] + value + text[end.index :], start.index + len(value), key, f", the file has {old}"
    )


def _noted(text: str, after: int, key: str, was: str) -> str:
    """The text with a note on the line of index `after`: before the comment on a value, else at the end of the line."""
    end = text.index("\n", after)
    rest = text[after:end].lstrip()
    if rest.startswith("#"):
        return f"{text[:after]}  # --set{was}; there: {rest.lstrip('# ')}{text[end:]}"
    name = f" {key}" if rest else ""
    return f"{text[:end]}  # --set{name}{was}{text[end:]}"
