"""From a document to the object a schema makes of it, or one line that says what is wrong with it."""

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dsasim.inputs.printable import printable
from dsasim.inputs.source import Source

Value = TypeVar("Value")


def checked(schema: TypeAdapter[Value], document: Any, source: Source, line: int | None = None) -> Value:
    """What `schema` makes of a document; else the source's error names the first wrong key and how many more there are.

    Callers use what is returned and never the document: a number that was a text in the file is a number, or an error.
    """
    try:
        return schema.validate_python(document)
    except ValidationError as error:
        source.refuse(f"not {source.what}: {first_problem(error)}", line)


def checked_json(schema: TypeAdapter[Value], text: str, source: Source, line: int | None = None) -> Value:
    """What `schema` makes of a JSON object that dsasim wrote itself: as `checked`, but a number in quotes is none."""
    source.parsed(text, line)
    try:
        return schema.validate_json(text, strict=True)
    except ValidationError as error:
        source.refuse(f"not {source.what}: {first_problem(error)}", line)


def first_problem(error: ValidationError) -> str:
    """The first of pydantic's findings as `layers.0.num_heads: what is wrong`, and how many more there are."""
    first, *others = error.errors(include_url=False, include_input=False)
    key = ".".join(printable(step) for step in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return f"{key + ': ' if key else ''}{printable(first['msg'].removeprefix('Value error, '))}{more}"
