"""Shares that users write: exact decimals above 0 and at most 1."""

from decimal import Decimal

import pytest

from dsasim.config.share import parse_share
from dsasim.errors import ConfigError


@pytest.mark.parametrize("text", ["0.05", "1", "1e-9", "0.10"])
def test_a_share_is_exact(text: str) -> None:
    assert parse_share(text, "--density") == Decimal(text)


@pytest.mark.parametrize("text", ["0", "-0.1", "1.0000001", "nan", "inf", "abc", "", "0,5"])
def test_what_is_none_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=f"^--density {text}: expected a number above 0 and at most 1$"):
        parse_share(text, "--density")
