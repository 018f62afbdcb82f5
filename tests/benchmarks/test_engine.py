"""What the engine itself takes a job: a stream without a design, on three units with tokens and slots.

It printed 7.8 to 8.1 µs a job on a shared machine of two cores (Python 3.11), SimPy's own events included.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from simpy import Environment

from dsasim.machine.job import NOWHERE, Job
from dsasim.machine.space import Take
from dsasim.machine.spec import UnitSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token

pytestmark = pytest.mark.benchmark(timer=time.process_time)
UNITS = ("first", "second", "third")
JOBS = 20_001
MOST_US = 40
"""A job, on a machine four times as slow."""


def chain(system: System, count: int) -> Iterator[Job]:
    """Each thing is made by the first unit and passed on by the others, with two slots between any two of them."""
    slots = [Take(system.buffer(f"buffer behind the {unit}", 2)) for unit in UNITS[:-1]]
    for at in range(count // len(UNITS)):
        made = [Token(f"thing {at}") for _ in UNITS]
        for number, unit in enumerate(UNITS):
            yield Job(
                unit,
                "work",
                NOWHERE,
                cycles=3 + (at + number) % 3,
                operands=made[number - 1 : number] if number else (),
                space=slots[number] if number < len(slots) else None,
                makes=made[number],
                frees=(slots[number - 1],) if number else (),
                events={"things": 1},
            )


def run(count: int) -> System:
    system = System(Environment(), [UnitSpec(unit) for unit in UNITS], {})
    system.run([Stage(chain(system, count), UNITS)])
    return system


def test_microseconds_a_job(benchmark: Any) -> None:
    system = benchmark.pedantic(lambda: run(JOBS), rounds=5, warmup_rounds=1)
    assert system.totals.events["things"] == JOBS
    microseconds = benchmark.stats.stats.min / JOBS * 1e6
    benchmark.extra_info["us_a_job"] = microseconds
    assert microseconds < MOST_US
