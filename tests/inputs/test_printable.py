"""Text that cannot act, character by character."""

import json
import unicodedata

import pytest
from hostile import HOSTILE, acts
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.errors import ConfigError
from dsasim.inputs.printable import named, printable, printable_json, printable_lines, unprintable
from dsasim.inputs.strict_json import parse_json

TEXTS = st.text(st.characters())
"""Half surrogate pairs too, which st.text() leaves out."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("two\nlines\tand\r", r"two\nlines\tand\r"),
        ("\x7f\x9b\x00", r"\x7f\x9b\x00"),
        ("\u202eevil\u2066\u200f", r"\u202eevil\u2066\u200f"),
        ("a\u200bb\u200d\ufeff\u00ad", r"a\u200bb\u200d\ufeff\xad"),
        ("\u3164\u115f\ufe0f\u034f\U000e0100", r"\u3164\u115f\ufe0f\u034f\U000e0100"),
        ("\u2028\u2029\u00a0\u3000", r"\u2028\u2029\xa0\u3000"),
        ("\ud800 \udcff", r"\ud800 \udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("µs, 3 mm², 雪, naïve", "µs, 3 mm², 雪, naïve"),
    ],
)
def test_what_acts_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert (unprintable(text) is None) == (text == shown)


@given(TEXTS)
@settings(deadline=None)
def test_nothing_of_any_text_acts(text: str) -> None:
    shown = printable(text)
    assert not acts(shown) and "\n" not in shown
    assert printable(shown) == shown
    assert printable_lines(text).count("\n") == text.count("\n")
    assert not acts(printable_lines(text))
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in shown)


@given(st.text())
@settings(deadline=None)
def test_json_says_the_same_and_does_not_act(text: str) -> None:
    shown = printable_json(json.dumps({"a": [text]}, ensure_ascii=False, indent=1))
    assert not acts(shown)
    assert json.loads(shown) == {"a": [text]}


def test_a_name_is_refused_by_its_character() -> None:
    assert named("dsa 2") == "dsa 2"
    with pytest.raises(ValueError, match=r"holds the character '\\u202e', which cannot be printed"):
        named("a\u202eb")
    with pytest.raises(ValueError, match=r"the key 'a\\x1bb' cannot be printed"):
        parse_json('{"a": [{"a\\u001bb": 1}]}')


def test_an_error_has_a_line_a_problem() -> None:
    error = ConfigError(f"a: {HOSTILE}", "b")
    assert str(error).count("\n") == 1
    assert not acts(str(error))
    assert error.args[1] == "b"
