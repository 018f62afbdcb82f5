"""Who owns an idle cycle of a unit.

Each idle cycle belongs to the first of these that holds:

    drained       no job is left for the unit in this run
    dependency    the next job belongs to a stage that has not begun
    output_full   the next job's output has no space
    dram          a missing operand is being transferred
    dependency    the job whose turn comes before has not ended, or the hardware is being switched (`machine.arbiter`)
    operand       a missing operand has not been made yet

Worked example: the unit is free at 10, its stage began at 0, its output slot frees at 12, its operand's transfer opened
at 11 and ended at 20. Then cycles 10, 11 are output_full and 12 .. 19 are dram.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dsasim.machine.token import Token


class Wait(NamedTuple):
    """Idle cycles start .. end - 1, at least one, with one owner."""

    reason: str
    start: int
    end: int


def classify(
    idle_since: int, stage_began: int, space_at: int, turn_at: int, operands: Sequence[Token], start: int
) -> list[Wait]:
    """Give each cycle of the wait [idle_since, start) its owner, in order; see the module's rule and example."""
    if idle_since == start:
        return []
    begun = min(max(idle_since, stage_began), start)
    roomy = min(max(begun, space_at), start)
    waits = [Wait("dependency", idle_since, begun), Wait("output_full", begun, roomy)]
    reached = roomy
    for opened, arrived in sorted((o.opened, o.at) for o in operands if o.opened is not None and o.at is not None):
        first, end = max(reached, opened), min(arrived, start)
        if end > first:
            waits += [*_missing(reached, first, turn_at), Wait("dram", first, end)]
            reached = end
    waits += _missing(reached, start, turn_at)
    return [wait for wait in waits if wait.end > wait.start]


def _missing(start: int, end: int, turn_at: int) -> tuple[Wait, Wait]:
    """A wait in which nothing missing is being transferred: for the turn before, then for what is yet to be made."""
    turn = min(max(start, turn_at), end)
    return Wait("dependency", start, turn), Wait("operand", turn, end)
