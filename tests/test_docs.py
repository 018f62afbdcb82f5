"""What README and docs/ name is there: files, keys, stall reasons. And a class name stands for one thing."""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from dsasim.config.keys import all_keys
from dsasim.report.html.schema import RunJson, SimulatedRow
from dsasim.sim.result import STALL_REASONS, LayerReport

ROOT = Path(__file__).resolve().parents[1]
ENDINGS = {".py", ".md", ".yaml", ".toml", ".csv"}
FOLDERS = ("arch_configs", "docs", "dsasim", "examples", "tests", "traces")
PAGES = [ROOT / "README.md", *sorted(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))]
PLACEHOLDERS = re.compile(r"\b(NAME|SPEC|FILE)\b|my-design\.yaml")
TERMS = [
    [cell.strip() for cell in line.strip("|\n ").split(" |")]
    for line in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").split("\n")
    if line.startswith("| ")
][1:]
"""[term, what it is, keys, file]"""

SAME_THING = {"TopK", "Threshold", "OracleTopK"}
"""Selectors, and the same rules in a model that is trained."""
TO_BE_ONE = {"ArrayWork", "Tile", "Tiling"}
"""Of a design and of its base or dataflow: still two, not yet told apart."""


def quoted(text: str) -> Iterator[str]:
    """Words between backquotes, those of code blocks apart."""
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        yield from span.split()


def is_path(word: str) -> bool:
    """Whether a word names a file or folder of the checkout: by its ending, or its first folder."""
    if not re.fullmatch(r"\w[\w./-]*", word) or PLACEHOLDERS.search(word):
        return False
    return Path(word).suffix in ENDINGS or word.endswith("/") or Path(word).parts[0] in FOLDERS


def is_there(word: str) -> bool:
    """Below the checkout or the package; a bare file name may be anywhere in them."""
    if any((folder / word).exists() for folder in (ROOT, ROOT / "dsasim")):
        return True
    return "/" not in word and any(next((ROOT / folder).rglob(word), None) for folder in FOLDERS)


def keys_of(document: Any) -> Iterator[str]:
    """Every key in a JSON document."""
    for key, value in document.items() if isinstance(document, dict) else ():
        yield key
        yield from keys_of(value)
    for value in document if isinstance(document, list) else ():
        yield from keys_of(value)


def known_keys() -> set[str]:
    """Keys of results and of sweeps' rows, the last words of configuration keys, and stall reasons."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "tests/golden/runs").glob("*.json")]
    typed = {*RunJson.__annotations__, *SimulatedRow.__annotations__, *(field.name for field in fields(LayerReport))}
    configured = {path[-1] for path in all_keys()}
    return {key for run in runs for key in keys_of(run)} | typed | configured | set(STALL_REASONS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: "/".join(page.parts[-2:]))
def test_files_named_in_the_docs_are_there(page: Path) -> None:
    named = {word for word in quoted(page.read_text(encoding="utf-8")) if is_path(word)}
    assert [word for word in sorted(named) if not is_there(word)] == []


def test_a_file_that_is_gone_is_noticed() -> None:
    text = "`machine/waits.py`, `waits.py`, `python tests/none.py`, `kernels/none.py`, `none.py`, `none/`, `FILE.py`"
    found = [word for word in quoted(text) if is_path(word)]
    assert [word for word in found if not is_there(word)] == ["tests/none.py", "kernels/none.py", "none.py", "none/"]


def test_the_glossary_is_in_alphabetical_order_each_term_once() -> None:
    terms = [term.removeprefix("σ (").lower() for term, *_ in TERMS]
    assert len(terms) > 80
    assert terms == sorted(terms) and len(set(terms)) == len(terms)


def test_each_term_of_the_glossary_has_one_file() -> None:
    assert [term for term, _, _, file in TERMS if not re.fullmatch(r"`[\w./]+\.(py|yaml)`", file)] == []


def test_what_the_glossary_calls_a_key_is_one() -> None:
    known = known_keys()
    named = {key for _, _, keys, _ in TERMS for key in re.findall(r"`([^`]+)`", keys)}
    assert len(named) > 60
    assert sorted(named - known) == []


def test_every_stall_reason_is_in_the_glossary() -> None:
    assert sorted(set(STALL_REASONS) - {key for _, _, keys, _ in TERMS for key in re.findall(r"`(\w+)`", keys)}) == []


def test_a_public_class_name_stands_for_one_thing() -> None:
    files = defaultdict(list)
    for path in (ROOT / "dsasim").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(path.name)
    assert len(files) > 200
    twice = {name: found for name, found in files.items() if len(found) > 1}
    assert {name: found for name, found in twice.items() if name not in SAME_THING | TO_BE_ONE} == {}
