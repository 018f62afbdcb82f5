"""What the units have to do, as plain numbers: computed by each unit's own rule from the real mask, tile by tile.

A `LayerWork` holds no mask and no tensor, so a run's memory is bounded by one head plus a few integers a tile.
"""

from collections import Counter
from dataclasses import dataclass, field

from dsasim.model.dram import Transfer


@dataclass(frozen=True)
class Job:
    """Time of one job: `cycles` in all, `conflict` of them lost to bank conflicts."""

    cycles: int
    conflict: int = 0


@dataclass(frozen=True)
class ArrayJob:
    """One SDDMM or SpMM of a tile: the array's time, and each lane's share of it."""

    cycles: int
    lane_busy: tuple[int, ...]
    lane_conflict: tuple[int, ...]


@dataclass(frozen=True)
class TileWork:
    """One tile of query rows of one head on its way through the machine; `None` where a unit has no part in it."""

    name: str
    q_read: Transfer
    prediction: Job | None
    mask_generation: Job | None
    scheduling: Job | None
    sddmm: ArrayJob
    softmax: Job
    spmm: ArrayJob
    output_write: Transfer


@dataclass(frozen=True)
class HeadWork:
    """One query head."""

    head: int
    tiles: tuple[TileWork, ...]
    nnz: int
    allowed: int
    k_loads: int
    plan_steps: int


@dataclass(frozen=True)
class KVHeadWork:
    """One kv head and the query heads that share it."""

    kv_head: int
    heads: tuple[HeadWork, ...]
    k_read: Transfer
    v_read: Transfer
    weights_read: Transfer | None
    key_prediction: Job | None


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


@dataclass(frozen=True)
class LayerWork:
    """One layer: the projection of its inputs, then its kv heads."""

    layer: int
    tile_rows: int
    slots: SlotCounts
    kv_heads: tuple[KVHeadWork, ...]
    projection_read: Transfer | None
    input_reads: tuple[Transfer, ...]
    projections: tuple[Job, ...]
    counters: Counter[str] = field(default_factory=Counter)

    @property
    def tiles(self) -> list[TileWork]:
        """All tiles of the layer in machine order."""
        return [tile for kv_head in self.kv_heads for head in kv_head.heads for tile in head.tiles]
