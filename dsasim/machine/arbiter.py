"""Hardware that several units share: one job at a time, in the order of the stream.

The first job after a change of unit begins with the switch cost, once its operands, its space and its turn are there;
the run's first job pays none.

Worked example: jobs A A B A of units A and B with a switch cost of 5: the third and the fourth pay it.
"""

from dataclasses import dataclass

from dsasim.machine.token import Token


@dataclass(frozen=True, slots=True)
class Turn:
    """A job's place: after `before`, then `switch_cycles`, and its end is `ended`."""

    before: Token | None
    switch_cycles: int
    ended: Token


class Arbiter:
    """Hands out turns to the jobs of a stream."""

    def __init__(self, switch_cycles: int) -> None:
        self._switch_cycles = switch_cycles
        self._unit: str | None = None
        self._last: Token | None = None

    def turn(self, unit: str) -> Turn:
        """The next turn, for a job of `unit`."""
        switch = self._switch_cycles if self._unit not in (None, unit) else 0
        turn = Turn(self._last, switch, Token(f"the turn of the {unit}"))
        self._unit, self._last = unit, turn.ended
        return turn
