"""Designs with overrides."""

from collections.abc import Callable

import pytest

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig


@pytest.fixture
def make_arch() -> Callable[..., ArchConfig]:
    """The default design with overrides, as in --set."""
    return lambda *overrides: load_arch("dsa-decoupled", overrides)
