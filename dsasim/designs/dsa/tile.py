"""A tile of query rows on its way through the machine: its jobs, unit after unit.

The end of the last reader frees each slot: query rows that the method reads by their prediction, S~ by the mask
generator, Q by its SDDMM, plan and scores by its SpMM, K, V and weights by the last SDDMM, SpMM and prediction of the
kv head, output by its write. A tile whose keys do not fit the K (V) buffer together is computed in key blocks
(`dataflows.key_blocks`), consecutive jobs of the array.

Scores that do not fit their slot are spilled (`designs.dsa.tiling`): a slot holds the first bytes of a tile's scores,
the others pass through it. S~ goes out when the tile is predicted and comes back before its mask is made, on the
predictor's DMA engine. S goes out after the tile's SDDMM, comes back for the softmax, goes out as probabilities and
comes back for the SpMM, on an engine of its own (`score`). Each way is one transfer, which starts when the one before
it has ended. A spilled tile that fits after all transfers nothing, which takes a cycle each way.

Worked example: slots of 1000 bytes and tiles of 1500 and 800 bytes: the first tile's scores cross the memory bus four
times, 500 bytes each; the second's move nothing.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from dsasim.designs.dsa.context import ARRAY, MASK_GENERATOR, PREDICTOR, SCHEDULER, SOFTMAX, Context, KVHeads
from dsasim.designs.dsa.vectors import Fetch
from dsasim.designs.dsa.work import Work
from dsasim.machine.job import Job, Place
from dsasim.machine.space import Releasable, Take
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import Region
from dsasim.sim.components import dma_job

Block: TypeAlias = tuple[Work, Fetch | None]
"""SDDMM or SpMM of a tile, or of a key block of it with the fetch of its keys."""


class Spill(NamedTuple):
    """Scores beyond a tile's slot, on their way to DRAM and back."""

    write: Transfer
    read: Transfer

    @classmethod
    def of(cls, region: Region, slot: int, score_bytes: int, held_bytes: int) -> "Spill":
        """Of a tile of `score_bytes` whose slot holds `held_bytes`; `region` has a place for every slot."""
        beyond = max(0, score_bytes - held_bytes)
        start = region.base + slot * region.vector_bytes
        return cls(Transfer.run(True, start, beyond), Transfer.run(False, start, beyond))


@dataclass(eq=False)
class Tile:
    """What each unit has to do, None where one has no part in it; and the operands that others wait for.

    `blocks`: of K and V, the work of SDDMM and SpMM, in one piece or with the fetch of each key block. `ends`: of its
    query heads, told when its output has reached the memory.
    """

    context: Context
    kv: KVHeads
    place: Place
    ends: Sequence[Releasable]
    q_read: Transfer
    rows_read: Transfer | None
    prediction: Work | None
    selection: Work | None
    planning: Work | None
    blocks: Mapping[str, Sequence[Block]]
    softmax: Work
    output_write: Transfer
    predicted_spill: Spill | None
    score_spill: Spill | None
    first: bool = False
    """Of its kv heads."""
    last: bool = False
    scored: Sequence["Tile"] = ()
    """Tiles whose scores its mask waits for, where it is not its own alone."""

    def __post_init__(self) -> None:
        self.predicted = Token("predicted scores", self.place)
        self._q = Token("Q", self.place)
        self._plan = Token("plan", self.place)
        self._probabilities = Token("probabilities", self.place)

    def fetch(self) -> Iterator[Job]:
        """Q."""
        yield dma_job("q", self.place, self.q_read, makes=self._q, space=self.context.slots["q"])

    def predict(self) -> Iterator[Job]:
        """S~; then `predicted` is what its mask is made of."""
        work, slots, kv = self.prediction, self.context.slots, self.kv
        if work is None:
            return
        operands, frees = list[Token](), list[Releasable]()
        if kv.weights is not None:
            operands += [] if kv.predicted else [kv.weights]
            frees += [slots["weights"]] if self.last else []
        if self.rows_read is not None:
            rows = Token("query rows", self.place)
            yield dma_job("predictor", self.place, self.rows_read, makes=rows, space=slots["query rows"])
            operands.append(rows)
            frees.append(slots["query rows"])
        yield work.job(PREDICTOR, self.place, operands, slots["S~"], self.predicted, frees)
        self.predicted = yield from self._spilled("predictor", self.predicted_spill, self.predicted)

    def select(self, predicted: Sequence[Token]) -> Iterator[Job]:
        """Mask and plan; the mask waits for predictions, its own or its whole head's."""
        slots, operands, space = self.context.slots, tuple[Token, ...](), self.context.slots["mask"]
        if self.selection is not None:
            operands = (Token("mask", self.place),)
            yield self.selection.job(MASK_GENERATOR, self.place, predicted, space, operands[0], (slots["S~"],))
        if self.planning is not None:
            yield self.planning.job(SCHEDULER, self.place, operands, None if operands else space, self._plan)

    def attend(self) -> Iterator[Job]:
        """SDDMM and softmax; spilled scores go out and come back before and after the softmax."""
        slots, scores, spill = self.context.slots, Token("scores", self.place), self.score_spill
        yield from self._product("k", (*self._planned, self._q), slots["score"], scores, [slots["q"]])
        scores = yield from self._spilled("score", spill, scores)
        yield self.softmax.job(SOFTMAX, self.place, (scores,), makes=self._probabilities)
        self._probabilities = yield from self._spilled("score", spill, self._probabilities)

    def output(self) -> Iterator[Job]:
        """SpMM, and its way to the memory."""
        slots, output = self.context.slots, Token("output", self.place)
        frees: list[Releasable] = [slots["score"], *([] if self.planning is None else [slots["mask"]])]
        yield from self._product("v", (self._probabilities,), slots["output"], output, frees)
        written = (slots["output"], *self.ends)
        yield dma_job("output", self.place, self.output_write, operands=(output,), frees=written)

    @property
    def _planned(self) -> tuple[Token, ...]:
        """The plan as an operand; nothing on a dense machine, which needs none."""
        return () if self.planning is None else (self._plan,)

    def _product(
        self, name: str, operands: Sequence[Token], space: Take, makes: Token, frees: list[Releasable]
    ) -> Iterator[Job]:
        """A product block by block: the first needs the tile's operands and space, the last makes and frees."""
        vectors, blocks = self.context.vectors[name], self.blocks[name]
        for at, (work, fetch) in enumerate(blocks):
            first, last, needed = at == 0, at == len(blocks) - 1, self.kv.vectors[name]
            made = makes if last else Token(f"the end of the {work.does}", self.place)
            if fetch is not None:
                needed = Token(f"vectors for the {work.does}", self.place)
                space_made = vectors.space(fetch.after)
                yield dma_job(name, self.place, fetch.transfer, self._planned, space_made, needed)
                vectors.computed(made)
            elif self.last:
                frees.append(self.context.slots[name])
            yield work.job(
                ARRAY,
                self.place,
                (*operands, needed) if first else (needed,),
                space if first else None,
                made,
                frees if last else (),
            )

    def _spilled(self, stream: str, spill: Spill | None, made: Token) -> Generator[Job, None, Token]:
        """What was made, out and back; returns what readers wait for."""
        if spill is None:
            return made
        out, back = Token(f"spilled {made.what}", self.place), Token(f"{made.what} back from DRAM", self.place)
        yield dma_job(stream, self.place, spill.write, operands=(made,), makes=out)
        yield dma_job(stream, self.place, spill.read, operands=(out,), makes=back)
        return back
