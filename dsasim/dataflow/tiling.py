"""How many query rows a tile has: as many as `scheduler.tile_rows`, but no more than every buffer's slots hold.

Slots are sized for the worst case, a row that keeps all its keys, since the mask is not known when the space is set
aside. A tile is a whole number of groups. Where not even one group fits, the design cannot run the trace: ConfigError.
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


def fit_tile_rows(arch: ArchConfig, footprints: list[Footprint]) -> int:
    """The largest multiple of T up to `scheduler.tile_rows` that fits everywhere; ConfigError if one group does not."""
    group = arch.scheduler.token_parallelism
    rows = arch.scheduler.tile_rows
    for footprint in footprints:
        size: int = getattr(arch.buffers, footprint.buffer).bytes
        room = size - footprint.resident_bytes
        fitting = room // footprint.row_bytes // group * group if room > 0 else 0
        if fitting == 0:
            needed = footprint.resident_bytes + group * footprint.row_bytes
            raise ConfigError(
                f"buffers.{footprint.buffer}.bytes is {size}, but this trace needs at least {needed}: {footprint.what}"
                f" for one group of {group} rows"
            )
        rows = min(rows, fitting)
    return rows


def resident_slots(arch: ArchConfig, name: str, head_bytes: int, num_keys: int) -> int:
    """Slots of the K or V buffer, each holding one whole kv head; ConfigError if not even one fits."""
    buffer: BufferConfig = getattr(arch.buffers, name)
    fitting = buffer.bytes // head_bytes
    if fitting == 0:
        raise ConfigError(
            f"buffers.{name}.bytes is {buffer.bytes}, but {name.upper()} of one kv head ({num_keys} keys) takes"
            f" {head_bytes}; this version keeps a kv head's {name.upper()} on chip"
        )
    return min(buffer.slots, fitting)
