"""A design given as a Python mapping, read by the rules of a YAML file: what a file may not hold, this may not."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import count
from numbers import Integral, Real
from typing import Any

from dsasim.config.strict_yaml import MAX_DEPTH, UNREADABLE, Document, KeyPath, Problem, SourcePlace, scalar_value
from dsasim.errors import ConfigError
from dsasim.inputs.printable import printable

LARGEST_BITS = 64
"""Of an integer that is written out in a message."""


def mapping_document(mapping: Mapping[Any, Any], label: str) -> Document:
    """Return the document that the same keys and values would make as YAML; every place is called `label`.

    Numbers are exact as in a file: the float 0.1 is the decimal 0.1. ConfigError for what is nested too deep.
    """
    order = count()
    document = Document({}, {(): SourcePlace(next(order), label)})
    document.values = _section(mapping, (), document, order)
    return document


def _section(mapping: Mapping[Any, Any], path: KeyPath, document: Document, order: Iterator[int]) -> dict[str, Any]:
    label = document.places[()].label
    if len(path) >= MAX_DEPTH:
        raise ConfigError(f"{label}: nested more than {MAX_DEPTH} deep")
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        place = SourcePlace(next(order), label)
        if not isinstance(key, str) or not key:
            document.problems.append(Problem(place, path, f"a key is a word, not {printable(repr(key)[:60])}"))
            continue
        document.places[*path, key] = place
        values[key] = _value(value, (*path, key), document, order)
    return values


def _value(value: Any, path: KeyPath, document: Document, order: Iterator[int]) -> Any:
    if isinstance(value, Mapping):
        return _section(value, path, document, order)
    if isinstance(value, list | tuple):
        return list(value)  # no key of a design holds one: it is refused as a list, whatever is in it
    try:
        return _scalar(value)
    except ValueError as error:
        document.problems.append(Problem(document.places[path], path, str(error)))
        return UNREADABLE


def _scalar(value: Any) -> Any:
    """What YAML makes of the value as it would be written; ValueError if it cannot be written there."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        whole = int(value)
        if whole.bit_length() > LARGEST_BITS:
            raise ValueError(f"an integer of more than {LARGEST_BITS} bits")
        return scalar_value(str(whole), plain=True)
    if isinstance(value, Decimal):
        return scalar_value(_finite(value), plain=True)
    if isinstance(value, Real):
        return scalar_value(_finite(float(value)), plain=True)
    raise ValueError(f"a {type(value).__name__} is no value of a design")


def _finite(value: float | Decimal) -> str:
    written = str(value)
    if not Decimal(written).is_finite():
        raise ValueError(f"`{written}` is not a finite number")
    return written
