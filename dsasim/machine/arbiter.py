"""Arbitration of hardware that several units share: one job at a time, in the order of the stream.

The first job after a change of unit begins with the switch cost, once its operands, its space and its grant are there;
the run's first job pays none.

Worked example: jobs A A B A of units A and B with a switch cost of 5: the third and the fourth pay it.
"""

from typing import NamedTuple

from dsasim.machine.token import Token


class Grant(NamedTuple):
    """The hardware is a job's after `before`, then `switch_cycles`, until `ended`."""

    before: Token | None
    switch_cycles: int
    ended: Token


class Arbiter:
    """Grants the hardware to the jobs of a stream."""

    def __init__(self, switch_cycles: int) -> None:
        self._switch_cycles = switch_cycles
        self._unit: str | None = None
        self._last: Token | None = None

    def grant(self, unit: str) -> Grant:
        """The next, for a job of `unit`."""
        switch = self._switch_cycles if self._unit not in (None, unit) else 0
        grant = Grant(self._last, switch, Token("the end of a job", f"the {unit}"))
        self._unit, self._last = unit, grant.ended
        return grant
