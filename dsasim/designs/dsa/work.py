"""What the units have to do, as plain numbers: computed by each unit's own rule from the real mask, tile by tile.

A `LayerWork` holds no mask and no tensor, so a run's memory is bounded by one head plus a few integers a tile.
"""

from dataclasses import dataclass, field
from functools import cached_property

from dsasim.machine.job import Events, Place
from dsasim.machine.transfer import Transfer


@dataclass(frozen=True)
class Work:
    """What one job takes: `cycles` in all, `conflict` of them lost to bank conflicts, its events, its name."""

    cycles: int
    conflict: int = 0
    events: Events = field(default_factory=dict)
    does: str = "predict"

    def times(self, count: int) -> "Work":
        """The same `count` times, one after the other."""
        events = {name: number * count for name, number in self.events.items()}
        return Work(self.cycles * count, self.conflict * count, events, self.does)


@dataclass(frozen=True)
class ArrayWork:
    """One SDDMM or SpMM of a tile or of a part of it: the array's time, each lane's share of it, and what it counts."""

    cycles: int
    lane_busy: tuple[int, ...]
    lane_conflict: tuple[int, ...]
    events: Events = field(default_factory=dict)


@dataclass(frozen=True)
class Fetch:
    """The keys of a part that the pool lacks, and the number of the part that must have ended to make room (or -1)."""

    transfer: Transfer
    after: int


@dataclass(frozen=True)
class Part:
    """A share of a tile's SDDMM or SpMM whose keys are on chip together.

    `fetch` is None where whole kv heads are kept on chip; the tile is then one part.
    """

    job: ArrayWork
    fetch: Fetch | None = None


@dataclass(frozen=True)
class Spill:
    """Scores beyond a tile's slot, on their way to DRAM and back (`model.spill`)."""

    write: Transfer
    read: Transfer


@dataclass(frozen=True)
class TileWork:
    """One tile of query rows on its way through the machine; `None` where a unit has no part in it."""

    place: Place
    q_read: Transfer
    prediction: Work | None
    mask_generation: Work | None
    scheduling: Work | None
    sddmm: tuple[Part, ...]
    softmax: Work
    spmm: tuple[Part, ...]
    output_write: Transfer
    predicted_spill: Spill | None = None
    score_spill: Spill | None = None
    rows_read: Transfer | None = None
    """What the method reads of the tile's query rows."""


@dataclass(frozen=True)
class HeadCounts:
    """What is known of a query head before it runs."""

    head: int
    nnz: int
    allowed: int
    k_loads: int
    plan_steps: int


@dataclass(frozen=True)
class Bundle:
    """Query heads that are computed side by side, one a lane; a single head unless lanes are split over heads."""

    heads: tuple[HeadCounts, ...]
    tiles: tuple[TileWork, ...]


@dataclass(frozen=True)
class KVHeadWork:
    """The kv head, or the kv heads of a bundle, that are on chip together, and the bundles that share them.

    `k_read` and `v_read` are None where a pool of vectors is fetched part by part.
    """

    place: Place
    bundles: tuple[Bundle, ...]
    k_read: Transfer | None
    v_read: Transfer | None
    weights_read: Transfer | None
    key_prediction: Work | None

    @property
    def tiles(self) -> list[TileWork]:
        """All tiles, bundle after bundle."""
        return [tile for bundle in self.bundles for tile in bundle.tiles]


@dataclass(frozen=True)
class SlotCounts:
    """Slots of each buffer; those of `predictor` hold X, weights and S~ alike."""

    q: int
    k: int
    v: int
    predictor: int
    mask: int
    score: int
    output: int

    @property
    def overlapped(self) -> bool:
        """Whether the SDDMM of a tile may come before the SpMM of the tile before it."""
        return self.score >= 2 and self.mask >= 2


@dataclass(frozen=True)
class LayerWork:
    """One layer on one sequence: the projection of its inputs, then its kv heads."""

    place: Place
    tile_rows: int
    slots: SlotCounts
    kv_heads: tuple[KVHeadWork, ...]
    projection_read: Transfer | None
    input_reads: tuple[Transfer, ...]
    projections: tuple[Work, ...]
    head_barrier: bool = False
    """Whether no mask of a bundle is made before all its scores are."""

    @cached_property
    def tiles(self) -> list[TileWork]:
        """All tiles of the layer in machine order."""
        return [tile for kv_head in self.kv_heads for tile in kv_head.tiles]

    @property
    def heads(self) -> list[HeadCounts]:
        """All query heads of the layer in machine order."""
        return [head for kv_head in self.kv_heads for bundle in kv_head.bundles for head in bundle.heads]
