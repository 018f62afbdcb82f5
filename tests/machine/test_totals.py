"""What jobs totals for."""

from dsasim.machine.job import NOWHERE, Job
from dsasim.machine.statistics import Totals


def test_an_output_that_is_there_later_takes_longer_one_after_the_other() -> None:
    totals = Totals()
    totals.add(Job("u", "work", NOWHERE, cycles=5, lag=3), 0)
    totals.add(Job("u", "work", NOWHERE, cycles=2, events={"x": 4}), 0)
    assert (totals.job_cycles, totals.transfers, totals.events) == (10, 0, {"x": 4})
