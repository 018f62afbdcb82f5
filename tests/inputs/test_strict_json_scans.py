"""`parse_json` looks at numbers and brackets one by one only where a scan says it must: same verdict."""

import json
import math
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.inputs.strict_json import MAX_DEPTH, MAX_DIGITS, parse_json


def plainly(text: str) -> Any:
    """The rules, with a look at each character and each number."""

    def integer(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise ValueError
        return int(digits)

    def real(digits: str) -> float:
        if math.isinf(float(digits)):
            raise ValueError
        return float(digits)

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if any(count > 1 or not key.isprintable() for key, count in Counter(key for key, _ in found).items()):
            raise ValueError
        return dict(found)

    def constant(_: str) -> None:
        raise ValueError

    depth = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise ValueError
    value = json.loads(text, parse_int=integer, parse_float=real, object_pairs_hook=pairs, parse_constant=constant)
    json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair
    return value


def verdict(read: Any, text: str) -> tuple[Any]:
    try:
        return (read(text),)
    except ValueError:  # UnicodeEncodeError is one
        return ("refused",)


EDGES = {
    "64 deep": "[" * 64 + "]" * 64,
    "65 deep": "[" * 65 + "]" * 65,
    "65 deep of two kinds": '{"a":[' * 32 + "[" + "]" + "]}" * 32,
    "closed in a text": "[" * 65 + '"' + "]" * 65 + '"' + "]" * 65,
    "opened in a text": '["' + "[" * 100 + '"]',
    "opened in a text with quotes": '["\\"' + "[" * 100 + '\\\\"]',
    "closed between backslashes": "[" * 40 + '"\\\\", "\\"]]]]", ' + "[" * 25 + "]" * 65,
    "many side by side": "[" + ",".join(["[]"] * 1000) + "]",
    "never closed": "[" * 64,
    "closed by another": "[}" * 40,
    "19 digits": "[1234567890123456789]",
    "20 digits": "[12345678901234567890]",
    "minus and 19 digits": "[-1234567890123456789]",
    "20 digits in a text": '["12345678901234567890", 1]',
    "a fraction of 30 digits": "[0.123456789012345678901234567890]",
    "309 digits and a point": "[1" + "0" * 309 + ".0]",
    "the largest double": "[1.7976931348623157e308, 1E308, 1e+308, 5e-324, 1e-999]",
    "beyond it": "[1e309]",
    "beyond it with a plus": "[1E+309]",
    "beyond it with zeros": "[1e0000000309]",
    "beyond it in a text": '["1e309", "9e999"]',
    "key twice": '{"a": {"b": 1, "b": 1}}',
    "a key with an escape": '{"\\u001b[31m": 1}',
    "a key with a mark of direction": '{"\u202e": 1}',
    "a key that is a line of its own": '{\n"a": 1,\n"b\u2028": 2}',
    "values that cannot be printed": '{"a": "\u202e"}',
    "half a pair": '["\\ud800"]',
    "a pair": '["\\ud83d\\ude00"]',
    "an escaped backslash and u": '["\\\\ud800"]',
    "NaN": "[NaN]",
    "a quote outside": '[1"]',
    "a backslash outside": '[\\"[", 1]',
    "empty": "",
}


@pytest.mark.parametrize("text", EDGES.values(), ids=EDGES)
def test_the_verdict_at_the_edges(text: str) -> None:
    assert verdict(parse_json, text) == verdict(plainly, text)


PIECES = st.sampled_from(
    [
        *'[]{},:"\\',
        "\\\\",
        '\\"',
        '"a":',
        "1",
        "-",
        "e",
        "E+",
        ".",
        "0" * 18,
        "309",
        "[" * 33,
        "]" * 33,
        "\\ud800",
        "null",
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join))
@settings(deadline=None, max_examples=300)
def test_the_verdict_of_texts_made_of_what_matters(text: str) -> None:
    assert verdict(parse_json, text) == verdict(plainly, text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('a"\\[]{}1e9'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('a"\\[', max_size=3), inner, max_size=4),
    max_leaves=30,
)


@given(VALUES)
@settings(deadline=None, max_examples=200)
def test_what_was_written_is_read(value: Any) -> None:
    text = json.dumps(value)
    assert verdict(parse_json, text) == verdict(plainly, text)
