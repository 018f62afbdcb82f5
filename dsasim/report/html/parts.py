"""What a page is made of: sections of words, cards, charts, tables and folded texts, each of which writes its HTML.

All text comes in by `inert`, that of figures by `shown`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dsasim.report.html.figure import Figure
from dsasim.report.html.label import shown
from dsasim.report.markup import inert, inert_lines


class PagePart(Protocol):
    """A piece of a section."""

    def html(self) -> str:
        """The piece as HTML."""


@dataclass(frozen=True)
class Card:
    """One figure in large print: what it is, its value, and a remark."""

    name: str
    value: str
    words: str = ""

    def html(self) -> str:
        """A box."""
        return (
            f'<div class="card"><span class="name">{inert(self.name)}</span>'
            f"<b>{inert(self.value)}</b><span>{inert(self.words)}</span></div>"
        )


@dataclass(frozen=True)
class Cards:
    """Cards side by side."""

    cards: Sequence[Card]

    def html(self) -> str:
        """A grid."""
        return f'<div class="cards">{"".join(card.html() for card in self.cards)}</div>'


@dataclass(frozen=True)
class Notes:
    """Sentences, one a point; `warning` for what must not be missed."""

    lines: Sequence[str]
    warning: bool = False

    def html(self) -> str:
        """A list, or a box a warning."""
        if self.warning:
            return "".join(f'<div class="warning">{inert(line)}</div>' for line in self.lines)
        return f'<ul class="notes">{"".join(f"<li>{inert(line)}</li>" for line in self.lines)}</ul>'


@dataclass(frozen=True)
class Chart:
    """A figure; `key` is its fixed name in the page, `label` its name in a list to choose from."""

    key: str
    figure: Figure
    label: str = ""
    hidden: bool = False

    def html(self) -> str:
        """A place for the figure, and its data beside it."""
        data = json.dumps(shown(self.figure), separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace(
            "<", "\\u003c"
        )
        return (
            f'<div class="chart" id="{inert(self.key)}" style="min-height:{self.figure["layout"]["height"]}px"'
            f"{' hidden' if self.hidden else ''}></div>"
            f'<script type="application/json" id="{inert(self.key)}-figure">{data}</script>'
        )


@dataclass(frozen=True)
class Choice:
    """Charts of which one at a time is shown, the first at first."""

    title: str
    charts: Sequence[Chart]

    def html(self) -> str:
        """A list to choose from, above the places of all charts."""
        options = "".join(f'<option value="{inert(chart.key)}">{inert(chart.label)}</option>' for chart in self.charts)
        places = [
            Chart(chart.key, chart.figure, chart.label, hidden=at > 0).html() for at, chart in enumerate(self.charts)
        ]
        return f'<label>{inert(self.title)} <select autocomplete="off">{options}</select></label>{"".join(places)}'


@dataclass(frozen=True)
class PageTable:
    """Rows of texts, or of folded ones; columns named in `text` are words, the others numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence["str | Folded"]]
    text: Sequence[str] = ()

    def html(self) -> str:
        """A table that scrolls sideways where it must; texts of several lines keep them."""
        kinds = [' class="text"' if column in self.text else "" for column in self.columns]
        head = "".join(f"<th{kind}>{inert(name)}</th>" for kind, name in zip(kinds, self.columns, strict=True))
        body = "".join(
            f"<tr>{''.join(f'<td{kind}>{_cell(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
            for row in self.rows
        )
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


@dataclass(frozen=True)
class Folded:
    """A text, as it is written, behind its title."""

    title: str
    text: str

    def html(self) -> str:
        """Details that open on a click."""
        return f"<details><summary>{inert(self.title)}</summary><pre>{inert_lines(self.text)}</pre></details>"


@dataclass(frozen=True)
class Heading:
    """A title within a section."""

    title: str

    def html(self) -> str:
        """A small heading."""
        return f"<h3>{inert(self.title)}</h3>"


@dataclass(frozen=True)
class PageSection:
    """A title, a sentence on how to read what follows, and the parts."""

    title: str
    words: str
    parts: Sequence[PagePart] = field(default_factory=tuple)

    def html(self) -> str:
        """A section."""
        words = f"<p>{inert(self.words)}</p>" if self.words else ""
        return f"<section><h2>{inert(self.title)}</h2>{words}{''.join(part.html() for part in self.parts)}</section>"


def _cell(cell: str | Folded) -> str:
    if isinstance(cell, Folded):
        return cell.html()
    return f"<pre>{inert_lines(cell)}</pre>" if "\n" in cell else inert(cell)
