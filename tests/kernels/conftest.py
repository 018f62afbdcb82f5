"""A memory that a test can fill: the controller's own state, without the event machinery around it."""

from collections.abc import Callable
from typing import Any

import pytest
from simpy import Environment

from dsasim.config.loader import load_arch
from dsasim.model.dram import Dram

MEMORY = (
    "clock_ghz=1",
    "dram.preset=DDR4_2400",
    "dram.channels=1",
    "dram.mapping=row-bank-bankgroup-column-channel",
    "dma.open_transfers=64",
    "dma.outstanding_bursts=64",
)


@pytest.fixture
def make_dram() -> Callable[..., Dram]:
    """A memory of three streams that logs its commands; overrides as in --set."""

    def make(*overrides: str, env: Environment | None = None, **options: Any) -> Dram:
        arch = load_arch("dsa-decoupled", (*MEMORY, *overrides))
        return Dram(env or Environment(), arch, **({"num_streams": 3, "log_commands": 4000} | options))

    return make
