"""The door at its bounds: the largest file, the longest number, the line of a wrong byte."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from dsasim.errors import ConfigError, TraceError
from dsasim.inputs.checked import checked
from dsasim.inputs.printable import unprintable
from dsasim.inputs.source import Source
from dsasim.inputs.strict_json import MAX_DEPTH, parse_json


def source(path: Path, max_bytes: int = 100, **options: Any) -> Source:
    return Source(path, "a design", max_bytes, **options)


@pytest.mark.parametrize(("size", "read"), [(0, True), (99, True), (100, True), (101, False), (5000, False)])
def test_a_file_may_have_all_of_its_bound(size: int, read: bool, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * size)
    if read:
        assert source(path).read() == b"x" * size
    else:
        with pytest.raises(ConfigError, match=r"more than 100.*: not a design"):
            source(path).read()


def test_a_wrong_byte_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for before, line in ((b"", 1), (b"a\n", 2), (b"a\nb\nc", 3)):
        path.write_bytes(before + b"\xff\nmore\n")
        with pytest.raises(TraceError) as caught:
            source(path, error=TraceError, argument="--set").text()
        assert str(caught.value) == f"--set {path}:{line}: not a design: not UTF-8 text"


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    """A pipe is opened from another thread, so that a reader that waits for a writer fails this test, not hangs it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said: list[str] = []

    def read(path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            source(path).read()
        said.append(str(caught.value))

    for path in (pipe, Path("/dev/zero")):
        thread = threading.Thread(target=read, args=(path,), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive(), path
    assert [text.partition(": ")[2] for text in said] == ["is a pipe or a device, not a design"] * 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9" * 19, 10**19 - 1),
        ("-" + "9" * 18, 1 - 10**18),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("-1e-400", 0.0),
        (r'"\ud83d\ude00"', "😀"),
    ],
)
def test_the_largest_that_is_read(text: str, value: object) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9" * 20, "an integer of 20 characters"),
        ("1e309", "larger than a double"),
        ("-1e999", "larger than a double"),
        ("NaN", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        (r'"\ud83d"', "half a surrogate pair"),
        (r'{"a": [1, "ok \uDE00 no"]}', "half a surrogate pair"),
        ('{"a": 1, "b": 2, "a": 1}', "the key 'a' stands twice"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "more than 64 brackets"),
        ("[" + "[], {}, " * 100 + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "]", "more than 64 brackets"),
    ],
)
def test_what_is_beyond_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_brackets_may_be_as_deep_as_said_and_are_not_counted_in_texts() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert parse_json(f'["{"[" * 500}", [], {{}}{", []" * 100}]')[0] == "[" * 500


class Two(BaseModel):
    """Two numbers."""

    a: int
    b: int
    c: int = 0


@pytest.mark.parametrize(
    ("document", "end"),
    [
        ({"a": "x", "b": 1}, "unable to parse string as an integer"),
        ({"a": "x", "b": "y"}, "unable to parse string as an integer (and 1 more)"),
        ({"a": "x", "b": "y", "c": "z"}, "unable to parse string as an integer (and 2 more)"),
    ],
)
def test_the_first_of_many_findings_is_told_and_the_others_counted(document: dict[str, str], end: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(TypeAdapter(Two), document, source(Path("f")), line=3)
    assert str(caught.value).startswith("f:3: not a design: a: Input should be a valid integer, ")
    assert str(caught.value).endswith(end)


@pytest.mark.parametrize(
    "character", ["\x1b", "\n", "\u202e", "\u200f", "\u2066", "\u200b", "\u2028", "\x7f", "\ud800"]
)
def test_no_name_may_hold_what_acts_on_text(character: str) -> None:
    found = unprintable(f"a{character}b")
    assert found is not None
    assert found.isascii()
    assert found.startswith("\\")
    assert unprintable("Ω, 漢字, a b") is None
