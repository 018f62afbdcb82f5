"""`base: NAME` in a design: another design whose values hold wherever this one is silent.

A base is a shipped name, or a file beside the one that names it, and may have a base itself. Problems of a value are
told at the line that it was written on, in whichever file. A section that is null here takes that of the base away.

Worked example: a file of `base: dsa-edge`, `name: mine` and `pe_array: {lanes: 2}` is dsa-edge with two lanes.
"""

from collections.abc import Callable
from typing import Any

from dsasim.config.strict_yaml import Document, KeyPath
from dsasim.errors import ConfigError
from dsasim.inputs.printable import printable

KEY = "base"
MAX_BASES = 8
"""Designs that build on each other; a longer chain is taken for one that builds on itself."""


def with_bases(document: Document, read: Callable[[str, Document], Document]) -> Document:
    """The document over its base, if it names one; `read` gives the document of a base, as one document names it.

    ConfigError for a base that is no text, cannot be read, or leads back to itself.
    """
    chain = [document]
    while KEY in chain[-1].values:
        name, place = chain[-1].values[KEY], chain[-1].places[(KEY,)]
        if not isinstance(name, str):
            raise ConfigError(f"{place.label}: {KEY}: the name of a design or a file, not {printable(name)}")
        if len(chain) > MAX_BASES:
            raise ConfigError(f"{place.label}: {KEY}: {printable(name)} leads back to itself")
        try:
            chain.append(read(name, chain[-1]))
        except ConfigError as error:
            raise ConfigError(f"{place.label}: {KEY}: {error}") from None
    return _merged(chain) if len(chain) > 1 else document


def _merged(chain: list[Document]) -> Document:
    """The last document, with the values of those before it written over it, the first one's last."""
    whole = chain[-1]
    for document in reversed(chain[:-1]):
        values = {name: value for name, value in document.values.items() if name != KEY}
        places = {path: place for path, place in document.places.items() if path != (KEY,)}
        problems = [problem for problem in whole.problems if problem.path not in places]
        written = {path: place for path, place in whole.places.items() if not _taken_away(path, values)}
        whole = Document(_over(whole.values, values), written | places, problems + document.problems)
    return whole


def _over(under: Any, values: dict[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for name, value in values.items():
        section = found.get(name)
        found[name] = _over(section, value) if isinstance(value, dict) and isinstance(section, dict) else value
    return found


def _taken_away(path: KeyPath, values: dict[str, Any]) -> bool:
    """Whether a section that holds the path is replaced by something else than a section."""
    at: Any = values
    for name in path[:-1]:
        if not isinstance(at, dict) or name not in at:
            return False
        at = at[name]
        if not isinstance(at, dict):
            return True
    return False
