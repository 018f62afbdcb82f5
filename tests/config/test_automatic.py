"""A key that may be `auto`: read, written, explained, and an axis of a sweep."""

import pytest

from dsasim.config.check import value_problem
from dsasim.config.keys import all_keys
from dsasim.config.loader import load_arch
from dsasim.config.resolved import arch_to_dict, arch_to_yaml
from dsasim.config.schema import ArchConfig
from dsasim.designs.dense.config import DenseConfig
from dsasim.report.explain import explained

KEYS = ("mapping", "keys")


@pytest.mark.parametrize("value", ["auto", 1, 64, None])
def test_what_it_may_hold(value: object) -> None:
    assert value_problem(KEYS, value, DenseConfig) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0 is not"), ("automatic", 'the text "automatic" is not'), (2.5, "2.5 is not"), (True, "true is not")],
)
def test_what_it_may_not(value: object, words: str) -> None:
    found = value_problem(KEYS, value, DenseConfig)
    assert found.startswith(words)
    assert found.endswith("a whole number from 1 to 1048576, or auto")


def test_other_keys_may_not_be_auto() -> None:
    assert value_problem(("predictor", "rank"), "auto", ArchConfig).endswith(", or null")
    assert not all_keys()["predictor", "rank"].automatic
    assert all_keys(DenseConfig)[KEYS].automatic


def test_it_is_written_as_it_is_read() -> None:
    arch = load_arch("dense-flash", ["mapping.keys=64"])
    assert arch_to_dict(arch)["mapping"] == {
        "query_rows": "auto", "keys": 64, "sub_arrays": "auto", "key_splits": "auto"
    }  # fmt: skip
    assert "query_rows: auto\n" in arch_to_yaml(arch)


def test_a_design_without_the_section_finds_all_by_itself() -> None:
    values = arch_to_dict(load_arch("dense-flash"))
    del values["mapping"]
    assert load_arch(values) == load_arch("dense-flash")


def test_it_is_explained() -> None:
    text = "\n".join(explained("mapping.keys", load_arch("dense-flash")))
    assert "a whole number from 1 to 1048576, or auto; if left out auto" in text
    assert DenseConfig.model_json_schema()["$defs"]["MappingSection"]["properties"]["keys"]["anyOf"][0] == {
        "const": "auto"
    }
