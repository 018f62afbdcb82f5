"""How this machine's work becomes jobs of the engine."""

from collections.abc import Sequence

from dsasim.designs.dsa.work import Work
from dsasim.machine.job import Job, Place
from dsasim.machine.space import Releasable, Space
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer


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


def dma_job(
    stream: str,
    place: Place,
    transfer: Transfer,
    operands: Sequence[Token] = (),
    space: Space | None = None,
    makes: Token | None = None,
    frees: Sequence[Releasable] = (),
) -> Job:
    """A transfer between the memory and the stream's buffer, by the stream's engine; a write reads the buffer."""
    way = "read" if transfer.is_write else "write"
    return Job(
        f"dma_{stream}",
        "move",
        place,
        operands=operands,
        space=space,
        makes=makes,
        frees=frees,
        transfer=transfer,
        events={f"{stream}_buffer_{way}_bytes": transfer.num_bytes},
    )
