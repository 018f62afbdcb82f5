"""`--set a.b=value`: one value of a design replaced before it is checked."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from dsasim.config.keys import all_keys, nearest
from dsasim.config.schema import Section
from dsasim.config.schemas import schema_of
from dsasim.config.strict_yaml import Document, KeyPath, SourcePlace, parse_scalar
from dsasim.errors import ConfigError

FLAG = "--set"
AFTER_ANY_LINE = 1 << 40
"""Order of the first place outside the file: a flag, or an axis of a sweep."""


def apply_overrides(document: Document, overrides: Sequence[str]) -> None:
    """Write each `a.b=value` into `document`, the last one winning; raises ConfigError naming the flag.

    A key (and its section) that the file lacks is made; a section may be set to null but to no other scalar.
    """
    schema = schema_of(_as_overridden(document, overrides))
    for number, override in enumerate(overrides):
        flag = f"{FLAG} {override}"
        path = _path(override, flag, schema)
        value = parse_scalar(override.split("=", 1)[1], flag)
        if all_keys(schema)[path].section and value is not None:
            example = _example(path, schema)
            raise ConfigError(f"{flag}: {'.'.join(path)} is a section; set one of its keys, such as {example}")
        set_value(document, path, value, SourcePlace(AFTER_ANY_LINE + number, flag))


def _as_overridden(document: Document, overrides: Sequence[str]) -> dict[str, Any]:
    """The values as they will be, right or wrong: which machine and parts they name says which keys there are."""
    draft = Document(deepcopy(document.values), dict(document.places))
    for override in overrides:
        name, equals, text = override.partition("=")
        path = tuple(name.strip().split("."))
        if equals and all(path):
            _write(draft, path, text.strip())
    return draft.values


def last_of_each(overrides: Sequence[str]) -> dict[KeyPath, str]:
    """Return the keys that `overrides` set, in the order of their first, each with its last `key=value`."""
    return {tuple(override.partition("=")[0].strip().split(".")): override.strip() for override in overrides}


def set_value(document: Document, path: KeyPath, value: Any, place: SourcePlace) -> None:
    """Replace the value at `path`, which the schema must know; errors about it are from now on about `place`."""
    _write(document, path, value)
    _move(document, path, place)


def _path(override: str, flag: str, schema: type[Section]) -> KeyPath:
    name, equals, _ = override.partition("=")
    path = tuple(name.strip().split("."))
    if not equals:
        raise ConfigError(f"{flag}: expected KEY=VALUE, such as --set mask_generator.density=0.05")
    for depth in range(1, len(path)):
        known = all_keys(schema).get(path[:depth])
        if known is not None and known.section is None:
            raise ConfigError(f"{flag}: {'.'.join(path[:depth])} holds a value, it is not a section")
        if known is None:
            raise ConfigError(f"{flag}: no such section {'.'.join(path[:depth])}{nearest(path[:depth], schema)}")
    if path not in all_keys(schema):
        raise ConfigError(f"{flag}: no such key {'.'.join(path)}{nearest(path, schema)}")
    return path


def _example(section: KeyPath, schema: type[Section]) -> str:
    return next(
        ".".join(path) for path in all_keys(schema) if path[: len(section)] == section and len(path) > len(section)
    )


def _write(document: Document, path: KeyPath, value: Any) -> None:
    section = document.values
    for name in path[:-1]:
        if not isinstance(section.get(name), dict):
            section[name] = {}
        section = section[name]
    section[path[-1]] = value


def _move(document: Document, path: KeyPath, place: SourcePlace) -> None:
    """Errors about `path`, and about a section that exists only because of it, are from now on about the flag."""
    for depth in range(1, len(path)):
        document.places.setdefault(path[:depth], place)
    document.places[path] = place
