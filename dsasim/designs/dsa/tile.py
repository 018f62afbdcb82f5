"""What flows through the machine of DSA: kv heads, tiles of query rows, and the operands they become."""

from collections.abc import Sequence
from dataclasses import dataclass

from dsasim.designs.dsa.work import KVHeadWork, SlotCounts, TileWork
from dsasim.machine.space import Buffer
from dsasim.machine.system import System
from dsasim.machine.token import Token


@dataclass(frozen=True)
class Slots:
    """The buffers of a layer, in slots."""

    q: Buffer
    k: Buffer
    v: Buffer
    inputs: Buffer
    weights: Buffer
    rows: Buffer
    predicted: Buffer
    mask: Buffer
    score: Buffer
    output: Buffer

    @classmethod
    def of(cls, system: System, counts: SlotCounts) -> "Slots":
        """Empty buffers."""
        return cls(
            q=system.buffer("the q buffer", counts.q),
            k=system.buffer("the k buffer", counts.k),
            v=system.buffer("the v buffer", counts.v),
            inputs=system.buffer("the predictor buffer (X)", counts.predictor),
            weights=system.buffer("the predictor buffer (weights)", counts.predictor),
            rows=system.buffer("the predictor buffer (query rows)", counts.predictor),
            predicted=system.buffer("the predictor buffer (S~)", counts.predictor),
            mask=system.buffer("the mask buffer", counts.mask),
            score=system.buffer("the score buffer", counts.score),
            output=system.buffer("the output buffer", counts.output),
        )


class KVHead:
    """K, V and predictor weights that are on chip together, and the tiles that share them."""

    def __init__(self, work: KVHeadWork) -> None:
        self.work = work
        self.k = Token(f"K of {work.place}")
        self.v = Token(f"V of {work.place}")
        self.weights = Token(f"predictor weights of {work.place}")
        self.tiles: list[Tile] = []
        for bundle in work.bundles:
            tiles = [Tile(tile, self) for tile in bundle.tiles]
            self.tiles += tiles
            for tile in tiles:
                tile.bundle = tiles


class Tile:
    """A tile of query rows and the operands it becomes on its way through the machine."""

    def __init__(self, work: TileWork, kv_head: KVHead) -> None:
        self.work = work
        self.kv_head = kv_head
        self.bundle: Sequence[Tile] = ()
        """All tiles of its query heads."""
        name = str(work.place)
        self.q = Token(f"Q of {name}")
        self.rows = Token(f"query rows of {name}")
        self.predicted = Token(f"predicted scores of {name}")
        self.mask = Token(f"mask of {name}")
        self.plan = Token(f"plan of {name}")
        self.scores = Token(f"scores of {name}")
        self.probabilities = Token(f"probabilities of {name}")
        self.output = Token(f"output of {name}")
        self.written = Token(f"output of {name} in DRAM")
        self.predicted_out = Token(f"spilled predicted scores of {name}")
        self.scores_out = Token(f"spilled scores of {name}")
        self.probabilities_out = Token(f"spilled probabilities of {name}")
        back = f"{name} back from DRAM"
        self.to_select = Token(f"predicted scores of {back}") if work.predicted_spill else self.predicted
        self.to_normalise = Token(f"scores of {back}") if work.score_spill else self.scores
        self.to_multiply = Token(f"probabilities of {back}") if work.score_spill else self.probabilities

    @property
    def planned(self) -> tuple[Token, ...]:
        """The plan as an operand; nothing on a dense machine, which needs none."""
        return () if self.work.scheduling is None else (self.plan,)
