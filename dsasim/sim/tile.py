"""A tile of query rows, as a design that works tile by tile is given it (`sim.tiled`)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dsasim.machine.job import Events, Job, Place
from dsasim.machine.space import Take
from dsasim.machine.token import Token
from dsasim.masks import KeepMask
from dsasim.trace.attention import LayerTrace


class Tensor(NamedTuple):
    """What is read, into the buffer of its stream: `row_bytes` a query, by tiles, or a key, all of a kv head."""

    name: str
    stream: str
    row_bytes: int
    of_keys: bool = False

    def rows(self, layer: LayerTrace) -> int:
        """Rows of a head."""
        return layer.L_k if self.of_keys else layer.L_q


class Tile:
    """Some query rows of a head: their mask, and what is on the chip for them by name, tensors and what is made.

    `span`: keys from 0 that any of its rows may attend to; `last` of its kv head, so that keys are wanted no more.
    """

    def __init__(
        self,
        place: Place,
        layer: LayerTrace,
        keep: KeepMask,
        span: int,
        last: bool,
        tensors: Mapping[str, tuple[Tensor, Token]],
        slots: Mapping[str, Take],
    ) -> None:
        self.place = place
        self.layer = layer
        self.keep = keep
        self.span = span
        self._held = {name: token for name, (_, token) in tensors.items()}
        self._stays = {name for name, (tensor, _) in tensors.items() if tensor.of_keys and not last}
        self._slots = slots

    @property
    def rows(self) -> int:
        """Query rows."""
        return len(self.keep.indptr) - 1

    def operand(self, name: str) -> Token:
        """A tensor, or something made of it."""
        return self._held[name]

    def job(
        self, unit: str, does: str, cycles: int, reads: Sequence[str], makes: str, events: Events, conflict: int = 0
    ) -> Job:
        """A job of at least one cycle that is the last to read these, and makes something in the slot of its name."""
        operands, frees = [self._held[name] for name in reads], [self._slots[n] for n in reads if n not in self._stays]
        made = self._held[makes] = Token(makes, self.place)
        space = self._slots[makes]
        return Job(unit, does, self.place, max(1, cycles), conflict, operands, space, made, frees, events=events)
