"""One piece of work of one unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from dsasim.machine.space import Releasable, Space
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer


class Place(NamedTuple):
    """What a job is for, in numbers; None where it is for all of them, or there is one.

    Worked example: layer 0 sequence 1 head 3 tile 2.
    """

    layer: int | None = None
    kv_heads: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    """Query heads."""
    tile: int | None = None
    sequence: int | None = None
    """Of the batch."""
    step: int | None = None
    chip: int | None = None
    phase: str | None = None
    """Of dense products beside attention."""

    def __str__(self) -> str:
        words = []
        for name, word in _WORDS.items():
            if (value := getattr(self, name)) is not None:
                words.append(f"{word} {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
        return " ".join(words)


_WORDS = {"layer": "layer", "sequence": "sequence", "kv_heads": "kv head", "heads": "head"}
_WORDS |= {name: name for name in ("tile", "step", "chip", "phase")}
NOWHERE = Place()


Events: TypeAlias = Mapping[str, int]
"""What is counted, by name: operations, bytes in and out of buffers; units and buffers say what each costs."""


class LaneCycles(NamedTuple):
    """Of each lane of a unit in a job: cycles of work, and lost to bank conflicts; for the rest it waits."""

    busy: Sequence[int]
    conflict: Sequence[int]


@dataclass(slots=True, eq=False)
class Job:
    """How long a unit works, what for, what it waits for, and where its output goes.

    `cycles` in all, `conflict` of them lost to bank conflicts; `lanes` where the unit has lanes. A job with a
    `transfer` is a DMA engine's, and takes as long as its memory says. The first job of a product that is cut in parts
    has its operands and takes its space, the last makes its token and frees its inputs. `lag`: cycles from the job's
    end until its token is set (a pipeline, a link).
    """

    unit: str
    does: str
    place: Place
    cycles: int = 0
    conflict: int = 0
    operands: Sequence[Token] = ()
    space: Space | None = None
    makes: Token | None = None
    frees: Sequence[Releasable] = ()
    lanes: LaneCycles | None = None
    transfer: Transfer | None = None
    events: Events = field(default_factory=dict)
    lag: int = 0

    @property
    def name(self) -> str:
        """What is done to what; of a transfer: what is moved, by the operand that it becomes or was."""
        if self.transfer is None:
            return f"{self.does} {self.place}"
        moved = self.makes if self.makes is not None or not self.operands else self.operands[0]
        return "" if moved is None else moved.name
