"""A design as a Python mapping: the rules and messages of a file."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import yaml

from dsasim.config.loader import list_archs, load_arch
from dsasim.config.resolved import arch_to_dict
from dsasim.errors import ConfigError

SHIPPED = {shipped.name: shipped.path for shipped in list_archs()}


def values() -> Any:
    """A shipped design as YAML reads it."""
    return yaml.safe_load(SHIPPED["dsa-edge"].read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_design_comes_back_from_every_form_of_it(name: str) -> None:
    arch = load_arch(name)
    assert load_arch(yaml.safe_load(SHIPPED[name].read_text(encoding="utf-8"))) == arch
    assert load_arch(arch_to_dict(arch)) == arch  # as it stands in a result's JSON
    assert load_arch(arch) == arch


def test_overrides_change_a_mapping_and_not_the_user_s_copy() -> None:
    mapping = values()
    assert load_arch(mapping, ["pe_array.lanes=2"]) == load_arch("dsa-edge", ["pe_array.lanes=2"])
    assert load_arch(load_arch("dsa-edge"), ["pe_array.lanes=2"]).pe_array.lanes == 2
    assert mapping == values()


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("clock_ghz", Decimal("0.7"), "0.7"),
        ("clock_ghz", np.float64(0.7), "0.7"),
        ("technology_nm", np.int64(22), "22"),
    ],
)
def test_numbers_of_other_kinds_are_numbers(key: str, value: Any, same: str) -> None:
    assert load_arch(values() | {key: value}) == load_arch("dsa-edge", [f"{key}={same}"])


WRONG = {
    "text for a number": ({"clock_ghz": "1"}, 'clock_ghz: the text "1" is not a number'),
    "not finite": ({"clock_ghz": float("nan")}, "clock_ghz: `nan` is not a finite number"),
    "infinite": ({"clock_ghz": Decimal("Infinity")}, "clock_ghz: `Infinity` is not a finite number"),
    "digits": ({"clock_ghz": 0.1 + 0.2}, "clock_ghz: `0.30000000000000004` has more than 15 digits"),
    "huge": ({"clock_ghz": 10**5000}, "clock_ghz: an integer of more than 64 bits"),
    "true for a number": ({"technology_nm": True}, "technology_nm: true is not"),
    "another type": ({"clock_ghz": object()}, "clock_ghz: a object is no value of a design"),
    "a list": ({"pe_array": [1]}, "pe_array: a list is not a section"),
    "unknown key": ({"clock": 1}, "clock: unknown key; did you mean clock_ghz?"),
    "key of a number": ({7: 1}, "a key is a word, not 7"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_what_a_file_may_not_hold_a_mapping_may_not(change: dict[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_arch(values() | change)
    assert str(error.value).startswith(f"<dict>: {message}")
    assert "\n" not in str(error.value)


def test_a_mapping_within_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["buffers"] = endless
    with pytest.raises(ConfigError, match="<dict>: nested more than 8 deep"):
        load_arch(endless)


@pytest.mark.parametrize("design", [5, None, b"dsa-edge", ["dsa-edge"]])
def test_what_is_no_design_is_refused_by_its_type(design: Any) -> None:
    with pytest.raises(ConfigError, match=f"not of type {type(design).__name__}"):
        load_arch(design)


def test_overrides_are_a_list() -> None:
    with pytest.raises(ConfigError, match=r'\["pe_array.lanes=2"\], not one text'):
        load_arch("dsa-edge", "pe_array.lanes=2")
