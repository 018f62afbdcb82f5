"""How this machine's work becomes jobs of the engine."""

from collections.abc import Sequence

from dsasim.designs.dsa.work import Work
from dsasim.machine.job import Job, Place
from dsasim.machine.space import Releasable, Space
from dsasim.machine.token import Token


def unit_job(
    unit: str,
    does: str,
    place: Place,
    work: Work,
    operands: Sequence[Token] = (),
    space: Space | None = None,
    makes: Token | None = None,
    frees: Sequence[Releasable] = (),
) -> Job:
    """What a unit has to do."""
    return Job(unit, does, place, work.cycles, work.conflict, operands, space, makes, frees, events=work.events)
