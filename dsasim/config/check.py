"""A document against the schema: every problem at once, each at the line it was written on."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, TypeAlias

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from dsasim.config.keys import SchemaKey, all_keys, nearest
from dsasim.config.overrides import AFTER_ANY_LINE
from dsasim.config.schema import AUTO, ArchConfig, MachineConfig, Section
from dsasim.config.schemas import as_design, schema_of
from dsasim.config.strict_yaml import UNREADABLE, Document, KeyPath, Problem, SourcePlace
from dsasim.errors import ConfigError

Keys: TypeAlias = Mapping[KeyPath, SchemaKey]


def check_document(document: Document) -> MachineConfig:
    """Return the design that `document` holds; ConfigError lists all problems, one a line, in reading order.

    It is checked against the schema of the machine and of the parts that it names (`config.schemas`).
    """
    schema = schema_of(document.values)
    keys = all_keys(schema)
    problems = document.problems + list(_wrong_choices(document, document.values, (), keys))
    try:
        arch = schema.model_validate(_typed(document.values, (), keys), strict=True)
    except ValidationError as error:
        found = (detail for detail in error.errors() if detail["input"] is not UNREADABLE)
        problems += [_problem(document, detail, schema) for detail in found]
    else:
        if not problems:
            return as_design(arch)
    raise ConfigError(*map(str, sorted(problems)))


def value_problem(path: KeyPath, value: Any, schema: type[Section] = ArchConfig) -> str:
    """Say why no design of a schema may hold `value` at `path`, whatever its other values are; empty if one may.

    Null leaves a key out, and whether it may be left out the other values say.
    """
    key = all_keys(schema)[path]
    if value is None or key.section:
        fits = value is None
    elif key.automatic and value == AUTO:
        fits = True
    elif key.choices:
        fits = any(value == choice and type(value) is type(choice) for choice in key.choices)
    else:
        fits = _holds(path, schema, _typed(value, path, all_keys(schema)))
    return "" if fits else f"{_shown(value)} is not {key.allowed}{_hint(value, key.holds)}"


def _holds(path: KeyPath, schema: type[Section], value: Any) -> bool:
    try:
        _adapter(path, schema).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@cache
def _adapter(path: KeyPath, schema: type[Section]) -> TypeAdapter[Any]:
    key = all_keys(schema)[path]
    holds: Any = Annotated[(key.holds, *key.limits)] if key.limits else key.holds
    return TypeAdapter(holds)


def _wrong_choices(document: Document, value: Any, path: KeyPath, keys: Keys) -> Iterator[Problem]:
    """Find values that only equal a choice: `4.0` for 4, `0` for false (pydantic's strict mode takes them)."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _wrong_choices(document, child, (*path, name), keys)
    key = keys.get(path)
    if key and key.choices and value in key.choices and type(value) not in map(type, key.choices):
        yield Problem(document.place(path), path, f"{_shown(value)} is not {key.allowed}")


def _typed(value: Any, path: KeyPath, keys: Keys) -> Any:
    """Give each number the type its key holds: Decimal or float; text stays text, and `64.0` stays a fraction.

    The schema is then checked strictly: nothing else is ever converted.
    """
    if isinstance(value, dict):
        return {name: _typed(child, (*path, name), keys) for name, child in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return value
    key = keys.get(path)
    if key is not None and key.holds is Decimal:
        return Decimal(value)
    return float(value) if isinstance(value, Decimal) else value


def _problem(document: Document, detail: ErrorDetails, schema: type[Section]) -> Problem:
    path = tuple(map(str, detail["loc"]))
    if detail["type"] == "value_error":
        # a rule between keys: its message begins with the key at fault, relative to the section
        text = str(detail["ctx"]["error"])
        return Problem(_place_of_rule(document, path, text), path, text)
    return Problem(document.place(path), path, _text(document, path, detail, schema))


def _place_of_rule(document: Document, section: KeyPath, text: str) -> SourcePlace:
    """Where a broken rule was written: at the last flag or axis that set a key its message names, else at the first.

    Keys are named relative to the section whose rule it is.
    """
    keys = [(*section, *word.split(".")) for word in re.findall(r"[a-z_][\w.]*", text)]
    places = [document.places[key] for key in keys if key in document.places]
    flags = [place for place in places if place.order >= AFTER_ANY_LINE]
    return max(flags) if flags else document.place(keys[0])


def _text(document: Document, path: KeyPath, detail: ErrorDetails, schema: type[Section]) -> str:
    if detail["type"] == "extra_forbidden":
        return f"unknown key{nearest(path, schema)}"
    key = all_keys(schema)[path]
    if detail["type"] == "missing":
        return f"missing; it must be {key.allowed}"
    value = document.value(path)
    return f"{_shown(value)} is not {key.allowed}{_hint(value, key.holds)}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'the text "{value if len(value) <= 60 else value[:60] + "…"}"'
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value).lower()


def _hint(value: Any, holds: object) -> str:
    if not isinstance(value, str) or holds is str:
        return ""
    try:
        Decimal(value)
    except ArithmeticError:
        return ""
    return "; write the number without quotes"
