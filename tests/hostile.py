"""A text that tries whatever a text can try, and the proof that something written holds none of it in force."""

import json
import re
from html import unescape
from typing import Any

HOSTILE = (
    "x\x1b[31m\x9b31m\x07\r\nforged: line\t<b>x</b><a href=\"javascript:alert('1')\">y</a>&lt;%{x}[bold]y[/bold]"
    "</script>\u202e\u2066\u200b\ufeff\u2028\ud800\U000e0041\u3164z"
)
TAGS = re.compile(r"<[^>]*>")
OURS = re.compile(r"<br>|<extra></extra>|<b>point \d+</b>")
"""All the markup that Plotly is given on purpose."""


def acts(text: str) -> list[str]:
    """The characters of `text` that a terminal or a page would obey or hide; line ends are ours."""
    return [character for character in text if not character.isprintable() and character != "\n"]


def check_text(text: str, *, times: int = 1) -> None:
    """`text` shows HOSTILE at least so often, in one line each, and nothing of it acts."""
    assert text.count(r"x\x1b[31m") >= times
    assert not acts(text) and "\u3164" not in text
    assert "\nforged" not in text
    text.encode()


def check_page(page: str, *, times: int = 1) -> None:
    """The same of an HTML page or an SVG: no tag and no attribute is HOSTILE's."""
    page = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # plotly.js, and what draws
    words = re.sub(
        "<pre>.*?</pre>", lambda found: found[0].replace("\n", " "), page, flags=re.DOTALL
    )  # lines are lines
    check_text(words, times=times)
    assert "<b>x</b>" not in page and "<a " not in page
    for found in re.findall(r'<script type="application/json" id="[^"]*-figure">(.*?)</script>', page, re.DOTALL):
        for text in strings(json.loads(found)):
            check_label(text)


def check_label(text: str) -> None:
    """A text of a figure has no tag but ours, and no variable of HOSTILE's."""
    left = OURS.sub("", text)
    assert not TAGS.search(left), left
    assert "%{x}[bold]" not in text
    assert not acts(unescape(left).replace("\xa0", " "))


def strings(value: Any) -> list[str]:
    """All texts in plain values."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for part in parts for text in strings(part)]


def poisoned(value: Any) -> Any:
    """Plain values with HOSTILE in the place of every text."""
    if isinstance(value, dict):
        return {name: poisoned(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [poisoned(part) for part in value]
    return HOSTILE if isinstance(value, str) else value
