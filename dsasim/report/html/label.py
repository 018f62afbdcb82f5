"""Texts inside Plotly's figures, which knows some HTML in all of them (https://plotly.com/python/reference).

A plain string is somebody's text: `shown` makes it a text that Plotly draws as it is written. A `Markup` is ours.
"""

from collections.abc import Mapping
from string import Template
from typing import Any

from dsasim.inputs.printable import printable

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "{": "&#123;"})
"""Plotly splits a text at `<…>` first and then reads these entities (svg_text_utils.js); `{` begins a `%{variable}`."""


class Markup(str):
    """A text with Plotly's own tags and variables, written here."""

    __slots__ = ()


def label(text: str) -> Markup:
    """`text` as Plotly draws it: all of it, nothing obeyed."""
    return text if isinstance(text, Markup) else Markup(printable(text).translate(_ENTITIES))


def lines(*texts: str) -> Markup:
    """Texts one below the other."""
    return Markup("<br>".join(map(label, texts)))


def hover(template: str, **texts: str) -> Markup:
    """What is shown when the pointer is at a point: `template` of ours, each `$name` in it one of `texts`."""
    shown_texts = {name: label(text) for name, text in texts.items()}
    return Markup(Template(template).substitute(shown_texts) + "<extra></extra>")


def shown(value: Any) -> Any:
    """A figure, or a part of one, all of whose strings are labels."""
    if isinstance(value, str):
        return label(value)
    if isinstance(value, Mapping):
        return {name: shown(part) for name, part in value.items()}
    return [shown(part) for part in value] if isinstance(value, list | tuple) else value
