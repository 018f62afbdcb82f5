"""What jobs asked for."""

from dsasim.machine.asked import Asked
from dsasim.machine.job import NOWHERE, Job


def test_an_output_that_is_there_later_takes_longer_one_after_the_other() -> None:
    asked = Asked()
    asked.add(Job("u", "work", NOWHERE, cycles=5, lag=3), 0)
    asked.add(Job("u", "work", NOWHERE, cycles=2, events={"x": 4}), 0)
    assert (asked.job_cycles, asked.transfers, asked.events) == (10, 0, {"x": 4})
