"""How many query rows a tile has: as many as `scheduler.tile_rows`, but no more than every buffer's slots hold.

Slots are sized for the worst case, a row that keeps as many keys as it can, since the mask is not known when the space
is set aside. A tile is a whole number of groups, and where buffers make it smaller than asked and it is large enough,
the same number for every lane. Where not even `smallest_tile` fits (one group, or one of every head where lanes are
split over heads), the design cannot run the trace: ConfigError. Only scores (S~ in the predictor buffer, S in the score
buffer) may be larger than their slot: tiles are then that small, and what the slot cannot hold is spilled to DRAM
(`designs.dsa.tile`).

K and V of a kv head are kept whole where one fits; otherwise their buffer is a cache of single vectors
(`dataflows.key_blocks`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.errors import ConfigError


@dataclass(frozen=True)
class Footprint:
    """What must be in one buffer at a time.

    `resident_bytes` always; in each of `slots` slots `row_bytes` and `score_row_bytes` a row, of which the latter may
    be spilled.
    """

    buffer: str
    what: str
    slots: int
    row_bytes: int
    score_row_bytes: int = 0
    resident_bytes: int = 0

    def space(self, arch: ArchConfig) -> int:
        """Bytes of one slot."""
        size: int = getattr(arch.buffers, self.buffer).bytes
        return max(0, size - self.resident_bytes) // self.slots


@dataclass(frozen=True)
class SpilledSlot:
    """A slot too small for a tile's scores: the bytes of them that it holds, and the most that may lie beyond."""

    held_bytes: int
    spilled_bytes: int


@dataclass(frozen=True)
class Tiling:
    """Rows of a tile, of a tile of layer inputs X, and the buffers whose scores are spilled."""

    rows: int
    input_rows: int
    spilled: Mapping[str, SpilledSlot]


@dataclass(frozen=True)
class Residency:
    """How K (or V) is kept on chip: in `slots` of whole kv heads, or as a cache of `cache_vectors`.

    A key block of a tile may want `block_vectors` of a cache, so that the next is fetched while one is computed.
    """

    slots: int
    cache_vectors: int | None = None
    block_vectors: int | None = None


def smallest_tile(arch: ArchConfig, together: int = 1) -> int:
    """Rows of the smallest tile: one group, or one of every head of a head group; or groups of whole `together` rows.

    Worked example: T = 4 and blocks of 6 rows make tiles of 12.
    """
    group = lcm(arch.scheduler.token_parallelism, together)
    return group * arch.pe_array.lanes if arch.pe_array.lane_split == "heads" else group


def fit_tile_rows(arch: ArchConfig, footprints: Sequence[Footprint], together: int = 1) -> Tiling:
    """The most rows up to `scheduler.tile_rows` that fit everywhere, in whole `smallest_tile`s; ConfigError if none do.

    Worked example, 4 lanes of T = 4 and 64 rows asked for: space for 61 makes 48 rows, three groups a lane, and for 13
    makes 12 rows. Space for 3 rows of scores makes a tile of 4 whose fourth row of scores is spilled. Tiles of X are
    as large as the predictor's buffer alone allows. `together`: rows that a tile may not cut apart.
    """
    unit, most, spilled = smallest_tile(arch, together), arch.scheduler.tile_rows, {}
    if most % unit and together > 1:
        raise ConfigError(
            f"scheduler.tile_rows {most} is not a multiple of {unit}: {together} rows are predicted and selected"
            f" together, in groups of token_parallelism {arch.scheduler.token_parallelism}"
        )
    fitting = {}
    for needed in footprints:
        fits = needed.space(arch) // (needed.row_bytes + needed.score_row_bytes) // unit * unit
        if fits == 0:
            spilled[needed.buffer] = _spilled(arch, needed, unit)
        fitting[needed.buffer] = min(most, fits or unit)
    rows = min(fitting.values())
    if rows < most:
        whole = lcm(unit, arch.scheduler.token_parallelism * arch.pe_array.lanes)
        rows = rows // whole * whole or rows
    return Tiling(rows, fitting.get("predictor", rows), spilled)


def _spilled(arch: ArchConfig, needed: Footprint, rows: int) -> SpilledSlot:
    """A slot too small for the scores of `rows` rows; ConfigError if it is too small without them."""
    space = needed.space(arch) - rows * needed.row_bytes
    if space < 0 or not needed.score_row_bytes:
        size: int = getattr(arch.buffers, needed.buffer).bytes
        least = needed.resident_bytes + needed.slots * rows * needed.row_bytes
        raise ConfigError(
            f"buffers.{needed.buffer}.bytes is {size}, but this trace needs at least {least}: {needed.what} for {rows}"
            " rows"
        )
    return SpilledSlot(space, rows * needed.score_row_bytes - space)


def residency(arch: ArchConfig, name: str, held_bytes: int, vector_bytes: int) -> Residency:
    """How the buffer `name` (k or v) keeps what is needed together, `held_bytes`; ConfigError if too small for a cache.

    A cache holds at least the T vectors that a step may want, and its slots' share of them makes a key block.

    Worked example: 8 vectors and two slots at T = 4 make key blocks of 4, and so do 7.
    """
    buffer: BufferConfig = getattr(arch.buffers, name)
    fitting = buffer.bytes // held_bytes
    if fitting and buffer.residency == "auto":
        return Residency(min(buffer.slots, fitting))
    vectors, rows = buffer.bytes // vector_bytes, arch.scheduler.token_parallelism
    if vectors < rows:
        raise ConfigError(
            f"buffers.{name}.bytes is {buffer.bytes}, room for {vectors} vectors of {vector_bytes} bytes; a step of"
            f" token_parallelism {rows} needs {rows}"
        )
    return Residency(1, vectors, max(rows, vectors // buffer.slots))
