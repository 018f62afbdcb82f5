"""`--layers 0,3` and `--heads 0-3`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsasim.cli.inputs import parse_numbers
from dsasim.errors import ConfigError

LAYERS = (13, 18, 29)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("13", (13,)), ("13,29", (13, 29)), ("29, 13", (13, 29)), ("13,13", (13,)), (" 18 - 18 ", (18,))],
)
def test_layers(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_numbers(text, "--layers", LAYERS) == numbers


def test_ranges_of_heads() -> None:
    assert parse_numbers("0-3,8", "--heads", range(9)) == (0, 1, 2, 3, 8)


@given(st.sets(st.integers(0, 30), min_size=1))
def test_any_choice_reads_back(chosen: set[int]) -> None:
    assert parse_numbers(",".join(map(str, chosen)), "--heads", range(31)) == tuple(sorted(chosen))


BAD = {
    "absent": ("7", "7 is not in this trace, which has 13, 18, 29"),
    "partly absent": ("13-18", "13-18 is not in this trace, which has 13, 18, 29"),
    "endless": ("0-999999999", "0-999999999 is not in this trace"),
    "backwards": ("29-13", "the range 29-13 runs backwards"),
    "negative": ("-1", "expected numbers and ranges such as 0,3 or 0-3"),
    "text": ("all", "expected numbers and ranges"),
    "empty": ("", "expected numbers and ranges"),
    "comma": ("13,", "expected numbers and ranges"),
    "fraction": ("1.5", "expected numbers and ranges"),
    "other digits": ("١٣", "expected numbers and ranges"),
    "endless digits": ("9" * 5000, "expected numbers and ranges"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_numbers_name_the_flag_and_what_there_is(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_numbers(text, "--layers", LAYERS)
    assert str(caught.value).startswith(f"--layers {text}: ")
    assert message in str(caught.value)


def test_a_run_of_numbers_is_named_as_a_range() -> None:
    with pytest.raises(ConfigError, match="which has 0-8"):
        parse_numbers("9", "--heads", range(9))
