"""Energy of one call: a long loop between two readings of the board's counter, with and without what it takes idle.

The counter moves every 20 to 100 ms, so a call is repeated for ENERGY_SECONDS. Where it does not move at all, power
read after every batch times the time stands in (practice of Zeus), and the result says so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from dsasim.validate.gpu.sensors import Sensors
from dsasim.validate.gpu.timing import Call, Clock

ENERGY_SECONDS = 5.0
IDLE_SECONDS = 5.0
BATCH_SECONDS = 0.5
"""Calls between two looks at the clock, and power readings where there is no counter."""


@dataclass(frozen=True)
class Energy:
    """One call's, in microjoules: the whole board's, and what is left without its idle power over the same time."""

    board_uj: float
    above_idle_uj: float
    basis: Literal["counter", "power"]


def idle_power_mw(
    sensors: Sensors, clock: Clock = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> float:
    """Mean power of a board with a context and nothing to do, over IDLE_SECONDS after as long a rest."""
    sleep(IDLE_SECONDS)
    began, before_mj = clock(), sensors.energy_mj()
    sleep(IDLE_SECONDS)
    counted_mj = sensors.energy_mj() - before_mj
    return counted_mj / (clock() - began) if counted_mj > 0 else float(sensors.read().power_mw)


def energy_of(
    call: Call,
    sensors: Sensors,
    median_us: float,
    idle_mw: float,
    clock: Clock = time.monotonic,
    synchronize: Callable[[], None] | None = None,
) -> Energy:
    """Repeat a call of about `median_us` for ENERGY_SECONDS.

    Worked example: 100 calls in 5 s, 1,500 J counted, 100 W idle: 15 J a call, of them 10 J above idle.
    """
    wait = torch.cuda.synchronize if synchronize is None else synchronize
    batch, calls, powers_mw = max(1, int(1e6 * BATCH_SECONDS / median_us)), 0, list[float]()
    wait()
    began, before_mj = clock(), sensors.energy_mj()
    while clock() - began < ENERGY_SECONDS:  # a call with warm caches is shorter than the median
        for _ in range(batch):
            call()
        powers_mw.append(sensors.read().power_mw)  # while the last calls still run
        wait()
        calls += batch
    seconds, counted_mj = clock() - began, sensors.energy_mj() - before_mj
    board_mj = counted_mj if counted_mj > 0 else float(np.mean(powers_mw)) * seconds
    return Energy(
        board_uj=1e3 * board_mj / calls,
        above_idle_uj=1e3 * (board_mj - idle_mw * seconds) / calls,
        basis="counter" if counted_mj > 0 else "power",
    )
