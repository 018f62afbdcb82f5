"""JSON as RFC 8259 has it and nothing more, with bounds, so that what was read can be used without a second look."""

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from dsasim.inputs.printable import unprintable

MAX_DEPTH = 64
"""Brackets within brackets; a result of dsasim has 7. Python's own limit depends on the caller's stack."""

MAX_DIGITS = 19
"""Of an integer: what 64 bits hold (https://www.rfc-editor.org/rfc/rfc8259#section-6 warns of more)."""

_DIGITS_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBERS = (MAX_DIGITS * b"0", b"0e000", b"0e+000")
"""Every number that `_integer` or `_real` could refuse has one of these in it, once its digits are alike."""

_BRACKETS_ALIKE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str) -> Any:
    """The value of a JSON text; ValueError says in a few words what is wrong, and where if that is known.

    Beside what JSON forbids these are refused: NaN and Infinity, numbers beyond a double or of more than 19 digits,
    an object's key that stands twice or cannot be printed, lone surrogates, and more than 64 brackets within each
    other.
    """
    outside = _outside_texts(text)
    if not _is_shallow(outside):
        _check_depth(text)
    try:
        if _has_long_numbers(outside) or not _is_plain(text):
            value = json.loads(
                text,
                parse_constant=_constant,
                parse_int=_integer,
                parse_float=_real,
                object_pairs_hook=_object,
            )
        else:
            value = _plain_value(text, outside.count(":"))
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} column {error.colno}: {error.msg.lower()}") from None
    if _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def _outside_texts(text: str) -> str:
    """What stands outside of the quotes: a tenth of the whole, and all that bounds are for."""
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    return "".join(text.split('"')[::2])


def _has_long_numbers(outside: str) -> bool:
    alike = outside.encode("utf-8", "surrogatepass").translate(_DIGITS_ALIKE)
    return any(digits in alike for digits in _LONG_NUMBERS)


def _is_shallow(outside: str) -> bool:
    """Whether pairs of brackets, taken out from within 64 times, leave none; deep and broken texts do."""
    brackets = outside.encode("utf-8", "surrogatepass").translate(_BRACKETS_ALIKE, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return True
    return False


def _is_plain(text: str) -> bool:
    """Whether every key can be printed, as nothing in the text cannot be."""
    return text.isascii() and "\\" not in text and text.strip().isprintable()


def _plain_value(text: str, num_pairs: int) -> Any:
    """The value of a text without long numbers or odd keys, five times as fast as by a look at each of them.

    A key that stands twice is found out by counting: `num_pairs` in the text are more than there are keys.
    """
    sizes: list[int] = []

    def count(found: dict[str, Any]) -> dict[str, Any]:
        sizes.append(len(found))
        return found

    value = json.loads(text, parse_constant=_constant, object_hook=count)
    return value if sum(sizes) == num_pairs else json.loads(text, object_pairs_hook=_object)


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", _TEXTS.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} brackets within each other")


def _check_surrogates(value: object) -> None:
    """An escaped pair is one character and no surrogate; half of one cannot be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair, which is no character") from None


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} characters; at most {MAX_DIGITS} are read")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]} is larger than a double")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!a} stands twice")
    if hidden := next(filter(unprintable, value), None):
        raise ValueError(f"the key {hidden!a} cannot be printed")
    return value
