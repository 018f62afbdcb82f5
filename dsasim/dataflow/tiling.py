"""How many query rows a tile has: as many as `scheduler.tile_rows`, but no more than every buffer's slots hold.

Slots are sized for the worst case, a row that keeps all its keys, since the mask is not known when the space is set
aside. A tile is a whole number of groups, and where buffers make it smaller than asked and it is large enough, the same
number for every lane. Where not even one group fits, the design cannot run the trace: ConfigError.

K and V of a kv head are kept whole where one fits; otherwise their buffer is a pool of single vectors
(`dataflow.residency`).
"""

from dataclasses import dataclass

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.errors import ConfigError


@dataclass(frozen=True)
class Footprint:
    """What must fit in one buffer: `resident_bytes` always, and `row_bytes` for each row of each slot."""

    buffer: str
    what: str
    row_bytes: int
    resident_bytes: int = 0


@dataclass(frozen=True)
class Residency:
    """How K (or V) is kept on chip: in `slots` of whole kv heads, or as a pool of `pool_vectors`."""

    slots: int
    pool_vectors: int | None


def fit_tile_rows(arch: ArchConfig, footprints: list[Footprint]) -> int:
    """The largest multiple of T up to `scheduler.tile_rows` that fits everywhere; ConfigError if one group does not.

    Worked example, 4 lanes of T = 4 and 64 rows asked for: room for 61 makes 48 rows, three groups a lane, and room for
    13 makes 12 rows.
    """
    group, lanes = arch.scheduler.token_parallelism, arch.pe_array.lanes
    unit = group * lanes if arch.pe_array.lane_split == "heads" else group
    rows = arch.scheduler.tile_rows
    for footprint in footprints:
        size: int = getattr(arch.buffers, footprint.buffer).bytes
        room = size - footprint.resident_bytes
        fitting = max(0, room) // footprint.row_bytes // unit * unit
        if fitting == 0:
            needed = footprint.resident_bytes + unit * footprint.row_bytes
            raise ConfigError(
                f"buffers.{footprint.buffer}.bytes is {size}, but this trace needs at least {needed}: {footprint.what}"
                f" for {unit} rows"
            )
        rows = min(rows, fitting)
    if rows < arch.scheduler.tile_rows:
        return rows // (group * lanes) * (group * lanes) or rows
    return rows


def residency(arch: ArchConfig, name: str, held_bytes: int, vector_bytes: int) -> Residency:
    """How the buffer `name` (k or v) keeps what is needed together, `held_bytes`; ConfigError if too small for a pool.

    A pool holds at least the T vectors that a step may want.
    """
    buffer: BufferConfig = getattr(arch.buffers, name)
    fitting = buffer.bytes // held_bytes
    if fitting and buffer.residency == "auto":
        return Residency(min(buffer.slots, fitting), None)
    vectors, rows = buffer.bytes // vector_bytes, arch.scheduler.token_parallelism
    if vectors < rows:
        raise ConfigError(
            f"buffers.{name}.bytes is {buffer.bytes}, room for {vectors} vectors of {vector_bytes} bytes; a step of"
            f" token_parallelism {rows} needs {rows}"
        )
    return Residency(1, vectors)
