"""What the schema says about each dotted key: does it exist, is it a section, and what may it hold.

The words of an error message come from here, so that they cannot drift from the schema.
"""

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dsasim.config.schema import AUTO, ArchConfig, Automatic, Named, Section
from dsasim.config.strict_yaml import KeyPath
from dsasim.inputs.printable import named


@dataclass(frozen=True)
class SchemaKey:
    """One key of the schema: the plain type it holds (a Section class for a section), its limits, may it be null."""

    holds: Any
    limits: tuple[Any, ...]
    optional: bool

    @cached_property
    def section(self) -> type[Section] | None:
        """The section's class, or None for a key that holds a value."""
        return self.holds if isinstance(self.holds, type) and issubclass(self.holds, Section) else None

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a key that holds one of a few, else empty; names of parts that come by `--plugin` included."""
        named = next((limit for limit in self.limits if isinstance(limit, Named)), None)
        if named is not None:
            return named.choices
        return get_args(self.holds) if get_origin(self.holds) is Literal else ()

    @property
    def automatic(self) -> bool:
        """Whether `auto` may stand for none."""
        return any(isinstance(limit, Automatic) for limit in self.limits)

    @property
    def allowed(self) -> str:
        """What the key may hold, in words: `a whole number from 1 to 64`."""
        return _allowed(self) + (f", or {AUTO if self.automatic else 'null'}" if self.optional else "")


@cache
def all_keys(schema: type[Section] = ArchConfig) -> dict[KeyPath, SchemaKey]:
    """Every key of a design by its path, sections before what they hold."""
    return dict(_walk(schema, ()))


def keys_of(section: KeyPath, schema: type[Section] = ArchConfig) -> list[str]:
    """The names that may stand in `section`."""
    return [path[-1] for path in all_keys(schema) if path[:-1] == section]


def nearest(path: KeyPath, schema: type[Section] = ArchConfig) -> str:
    """Say which key was probably meant, else which keys there are; empty inside what is no section."""
    names = keys_of(path[:-1], schema)
    elsewhere = [".".join(known) for known in all_keys(schema) if known[-1] == path[-1]]
    close = [".".join((*path[:-1], name)) for name in difflib.get_close_matches(path[-1], names, 1)]
    if meant := elsewhere or close:
        return f"; did you mean {' or '.join(meant)}?"
    return f"; here may stand: {', '.join(names)}" if names else ""


def _walk(section: type[Section], path: KeyPath) -> Iterator[tuple[KeyPath, SchemaKey]]:
    for name, info in section.model_fields.items():
        key = _key(info.annotation, tuple(info.metadata), optional=False)
        yield (*path, name), key
        if key.section:
            yield from _walk(key.section, (*path, name))


def _key(annotation: Any, limits: tuple[Any, ...], *, optional: bool) -> SchemaKey:
    """Unwrap `X | None` and `Annotated[X, Field(...)]` down to the plain type, gathering the limits on the way."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _key(inner, limits, optional=True)
    if origin is Annotated:
        for extra in arguments[1:]:
            limits += tuple(extra.metadata) if isinstance(extra, FieldInfo) else (extra,)
        return _key(arguments[0], limits, optional=optional)
    return SchemaKey(annotation, limits, optional)


def _allowed(key: SchemaKey) -> str:
    if key.section:
        return "a section"
    if key.choices:
        return ("one of " if len(key.choices) > 1 else "") + ", ".join(map(_word, key.choices))
    if key.holds is bool:
        return "true or false"
    if key.holds is str:
        return "text" + _length(key) + (" that can be printed" if _limit(key, "func") is named else "")
    noun = "a whole number" if key.holds is int else "a number"
    return noun + _range(key) + _places(key)


def _word(choice: Any) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def _limit(key: SchemaKey, name: str) -> Any:
    return next((found for limit in key.limits if (found := getattr(limit, name, None)) is not None), None)


def _range(key: SchemaKey) -> str:
    low, above, high, below = (_limit(key, name) for name in ("ge", "gt", "le", "lt"))
    if above is not None or below is not None:
        words = [f"above {above}" if above is not None else "", f"from {low}" if low is not None else ""]
        words += [f"at most {high}" if high is not None else "", f"below {below}" if below is not None else ""]
        return " " + ", ".join(filter(None, words))
    words = [f"from {low}" if low is not None else "", f"to {high}" if high is not None else ""]
    return "".join(f" {word}" for word in words if word)


def _places(key: SchemaKey) -> str:
    places = _limit(key, "decimal_places")
    return "" if places is None else f" with at most {places} decimal places"


def _length(key: SchemaKey) -> str:
    low, high = _limit(key, "min_length"), _limit(key, "max_length")
    return "" if high is None else f" of {low or 0} to {high} characters"
