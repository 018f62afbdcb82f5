"""What stands on a terminal and on a page, read back as a person does: tables by columns, texts as numbers."""

import io
import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

from rich.console import Console

from dsasim.report.html.page import Page
from dsasim.report.style import new_console

CELL = re.compile(r"\S+(?: \S+)*")
PREFIXES = {"p": 1.0, "n": 1e3, "µ": 1e6, "m": 1e9, "": 1e12}
"""How many pJ (or ps) one is."""

FACTORS = {"%": 0.01, "x": 1.0, "mm²": 1.0, "": 1.0}
Rows = list[dict[str, str]]


def printed(show: Callable[[Console], None]) -> str:
    """What is printed into a pipe."""
    out = io.StringIO()
    show(new_console(out))
    return out.getvalue()


def value(text: str) -> float:
    """The number of a text such as `12.3 %`, `at most 1,234x` or `4.2 µJ` (in pJ, times in ps)."""
    number, unit = re.fullmatch(r"(?:at most |≤ |≥ )?([\d.,]+) ?(\D*)", text.strip()).groups()
    factor = FACTORS[unit] if unit in FACTORS else PREFIXES[unit[:-1]]
    return float(number.replace(",", "")) * factor


def ruled(text: str) -> list[Rows]:
    """The ruled tables of a text, a row a dict by column: the first column is "", a title's second one has a 2.

    Cells stand flush right under their titles, but for those of the first column.
    """
    lines, found, titles = text.split("\n"), list[Rows](), dict[int, str]()
    for above, line in zip(["", *lines], lines, strict=False):
        if not line.strip():
            continue
        if set(line.strip()) == {"─"}:
            heads = [head for head in CELL.finditer(above) if head.start() > 1]
            names = [head.group() for head in heads]
            titles = {
                head.end(): name if name not in names[:at] else f"{name} 2"
                for at, (head, name) in enumerate(zip(heads, names, strict=True))
            }
            found.append([])
        elif titles and line.startswith(" "):
            row = {
                "" if cell.start() == 1 else titles.get(cell.end(), "?"): cell.group() for cell in CELL.finditer(line)
            }
            found[-1].append(row)
        elif titles and not line.startswith(" "):
            titles = {}
    return [[row for row in rows if row.keys() != {"?"} and "?" not in row] for rows in found]


def by_name(rows: Rows) -> dict[str, dict[str, str]]:
    """Rows by their first cell."""
    return {row[""]: row for row in rows}


class Shown:
    """A page without its frame: cards, tables and the data of its figures."""

    def __init__(self, page: Page) -> None:
        self.html = "".join(section.html() for section in page.sections)
        card = r'<div class="card"><span class="name">(.*?)</span><b>(.*?)</b><span>(.*?)</span></div>'
        self.cards = {
            unescape(name): (unescape(text), unescape(more)) for name, text, more in re.findall(card, self.html)
        }
        figure = r'<script type="application/json" id="([^"]*)-figure">(.*?)</script>'
        self.figures: dict[str, list[dict[str, Any]]] = {
            name: json.loads(data)["data"] for name, data in re.findall(figure, self.html, re.DOTALL)
        }
        self.tables = [_table(each) for each in re.findall(r"<table>(.*?)</table>", self.html, re.DOTALL)]

    def bars(self, figure: str) -> dict[str, dict[str, Any]]:
        """Data of a bar chart: series, then category."""
        across = {each["name"]: each.get("orientation") == "h" for each in self.figures[figure]}
        axes = {name: ("y", "x") if flat else ("x", "y") for name, flat in across.items()}
        return {
            each["name"]: dict(zip(each[axes[each["name"]][0]], each[axes[each["name"]][1]], strict=True))
            for each in self.figures[figure]
        }


def _table(html: str) -> Rows:
    titles = [unescape(title) for title in re.findall(r"<th(?: [^>]*)?>(.*?)</th>", html)]
    names = [name if name not in titles[:at] else f"{name} 2" for at, name in enumerate(titles)]
    rows = re.findall(r"<tr>(.*?)</tr>", html.partition("<tbody>")[2], re.DOTALL)
    cells = [[unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]
    return [dict(zip(names, row, strict=True)) for row in cells]
