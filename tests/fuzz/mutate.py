"""Files broken at random, the same ones for the same seed: bits and spans of any file, words of a text."""

import re
from collections.abc import Callable, Sequence
from random import Random

INSERTED = (b"\0", b"\n", b"\r\n", b'"', b"'", b"\\", b"\x1b[31m", b"\xff", b"\x80", b"\xe2\x80\xae", b",", b"[", b"{")
WORDS = (
    *("0", "-0", "-1", "1", "2.5", "16777216", "16777217", "4294967296", "9223372036854775808", "1" + "0" * 19),
    *("1e-320", "1e99", "1e308", "1e999", "-1e308", "0.30000000000000004", "NaN", "-Infinity", "Infinity", ".nan"),
    *(
        "true",
        "false",
        "null",
        "~",
        "on",
        "no",
        "012",
        "0x1f",
        "1_000",
        "1:30",
        "2024-01-01",
        "<<",
        "*a",
        "&a 1",
        "!x 1",
    ),
    *('""', '"8"', '"\\ud800"', '"\\u001b[31m"', '"\\u202e"', "'x'", '"a\\nb"', "x", "\u00e9", "\U0001f600", "\u00a0"),
    *("[]", "{}", "[1]", "[[[[1]]]]", '{"a": 1}', "{a: 1}", "[null, true]", "[" * 100, "{" * 9, "[" * 70 + "]" * 70),
    *("True", "None", "(", ")", "(2,)", "<f4", "|b1", "|O", "10L", ",", ":", ": ", "\n", "\n  ", "\t", "#", "-", "- 1"),
)
"""What takes the place of a word: numbers at and past every limit, other types, brackets, characters that act."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z_][\w.\-]*|[-+]?[0-9][0-9.eE+\-]*|[^\s\w]')


def mutant(data: bytes, rng: Random, *, text: bool) -> bytes:
    """`data` with one to three things wrong; of a text most often whole words."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(WORD_CHANGES if text and rng.random() < 0.7 else BYTE_CHANGES)
        data = change(data, rng)
    return data


def _place(data: bytes, rng: Random) -> int:
    """Anywhere; in a long file one time in two in its first bytes, where headers are."""
    return rng.randrange(min(len(data), 256) if rng.random() < 0.5 else len(data)) if data else 0


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    first = _place(data, rng)
    return first, first + rng.choice((1, 1, 2, 4, 8, rng.randrange(1, 200)))


def _flip(data: bytes, rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]


def _overwrite(data: bytes, rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def _insert(data: bytes, rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.choice((rng.choice(INSERTED), rng.randbytes(rng.choice((1, 4))))) + data[at:]


def _delete(data: bytes, rng: Random) -> bytes:
    first, end = _span(data, rng)
    return data[:first] + data[end:]


def _duplicate(data: bytes, rng: Random) -> bytes:
    first, end = _span(data, rng)
    return data[:end] + data[first:]


def _truncate(data: bytes, rng: Random) -> bytes:
    return data[: _place(data, rng)]


def _append(data: bytes, rng: Random) -> bytes:
    return data + rng.randbytes(rng.choice((1, 8, 100)))


BYTE_CHANGES: Sequence[Callable[[bytes, Random], bytes]] = (
    *(_flip, _flip, _flip, _overwrite, _insert, _delete, _duplicate, _truncate, _append),
)


def _tokens(data: bytes) -> list[str]:
    """Words and what stands between them, in turn; the first and the last are between."""
    text, parts, at = data.decode("utf-8", "surrogateescape"), [], 0
    for found in _TOKEN.finditer(text):
        parts += [text[at : found.start()], found[0]]
        at = found.end()
    return [*parts, text[at:]]


def _joined(tokens: Sequence[str]) -> bytes:
    return "".join(tokens).encode("utf-8", "surrogateescape")


def _replace_word(data: bytes, rng: Random) -> bytes:
    tokens = _tokens(data)
    if len(tokens) > 1:
        tokens[rng.randrange(1, len(tokens), 2)] = rng.choice(WORDS)
    return _joined(tokens)


def _replace_number(data: bytes, rng: Random) -> bytes:
    tokens = _tokens(data)
    if numbers := [at for at in range(1, len(tokens), 2) if tokens[at][0] in "-+0123456789"]:
        tokens[rng.choice(numbers)] = rng.choice(WORDS)
    return _joined(tokens)


def _other_number(data: bytes, rng: Random) -> bytes:
    """A whole number that may well be one: what is wrong with it, only a rule between values can say."""
    tokens = _tokens(data)
    if numbers := [at for at in range(1, len(tokens), 2) if tokens[at].isdecimal()]:
        at = rng.choice(numbers)
        old = int(tokens[at][:15])
        tokens[at] = str(rng.choice((0, 1, 2, 3, old + 1, max(0, old - 1), old // 2, 2 * old)))
    return _joined(tokens)


def _swap_words(data: bytes, rng: Random) -> bytes:
    tokens = _tokens(data)
    if len(tokens) > 1:
        one, other = rng.randrange(1, len(tokens), 2), rng.randrange(1, len(tokens), 2)
        tokens[one], tokens[other] = tokens[other], tokens[one]
    return _joined(tokens)


def _copy_word(data: bytes, rng: Random) -> bytes:
    """One word in the place of another: a key twice, a value of another key."""
    tokens = _tokens(data)
    if len(tokens) > 1:
        tokens[rng.randrange(1, len(tokens), 2)] = tokens[rng.randrange(1, len(tokens), 2)]
    return _joined(tokens)


def _move_line(data: bytes, rng: Random) -> bytes:
    lines = data.split(b"\n")
    line = lines.pop(rng.randrange(len(lines))) if rng.random() < 0.7 else rng.choice(lines)
    if rng.random() < 0.5:
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


WORD_CHANGES: Sequence[Callable[[bytes, Random], bytes]] = (
    *(_replace_word, _replace_number, _replace_number, _other_number, _other_number, _other_number),
    *(_swap_words, _copy_word, _move_line),
)
