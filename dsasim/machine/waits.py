"""Who owns an idle cycle of a unit.

Each idle cycle belongs to the first of these that holds:

    drained       no job is left for the unit in this run
    dependency    the next job belongs to a stage that has not begun
    output_full   the next job's output has no space
    dram          a missing operand is being transferred
    dependency    the shared hardware is another unit's, or is being switched (`machine.arbiter`)
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
    idle_since: int, stage_began: int, space_at: int, granted_at: int, operands: Sequence[Token], start: int
) -> list[Wait]:
    """Give each cycle of the wait [idle_since, start) its owner, in order; see the module's rule and example."""
    if idle_since == start:
        return []
    owners = [("dependency", stage_began), ("output_full", space_at)]
    for opened, arrived in sorted((o.opened, o.at) for o in operands if o.opened is not None and o.at is not None):
        owners += [("dependency", min(granted_at, opened)), ("operand", opened), ("dram", arrived)]
    owners += [("dependency", granted_at), ("operand", start)]
    waits, reached = [], idle_since
    for reason, until in owners:
        end = min(until, start)
        if end > reached:
            waits.append(Wait(reason, reached, end))
            reached = end
    return waits
