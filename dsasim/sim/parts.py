"""What designs are put together from: priced operators, buffers of SRAM and their slots, DMA engines and their jobs.

A design of any machine declares its units and buffers, and makes its jobs, by these; none is obliged to.
"""

from collections.abc import Mapping, Sequence

from dsasim.config.schema import BufferConfig, MachineConfig
from dsasim.errors import ConfigError
from dsasim.machine.job import Job, Place
from dsasim.machine.space import Releasable, Space, Take
from dsasim.machine.spec import BufferSpec, Silicon, UnitSpec
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer
from dsasim.silicon.operations import Price, merged
from dsasim.silicon.sram import sram
from dsasim.trace.attention import LayerTrace

DRAM = "dram"
"""The memory of a machine of one chip."""


def place_of(layer: LayerTrace) -> Place:
    """What the jobs of a layer are for; of one of several sequences they say which."""
    return Place(layer.number, sequence=layer.batch_index)


def silicon_of(count: float, instance: Price, events: Mapping[str, Price]) -> Silicon:
    """`count` instances of an operator, and what each event uses of them.

    Worked example: 64 MACs are area and leakage of 64, and an event `macs_sddmm` costs the energy of one.
    """
    return Silicon(
        area_mm2=count * instance.area_mm2,
        leakage_mw=count * instance.leakage_mw,
        energy_pj={name: price.energy_pj for name, price in events.items()},
        sources=merged(instance.sources, *(price.sources for price in events.values())),
    )


def dma_engines(arch: MachineConfig, streams: Sequence[str]) -> list[UnitSpec]:
    """An engine a stream, `dma_NAME`; the memory takes simultaneous posts in this order."""
    return [UnitSpec(f"dma_{name}", memory=DRAM, open_transfers=arch.dma.open_transfers) for name in streams]


def buffer_events(name: str) -> tuple[str, str]:
    """The events of a buffer: a byte read, a byte written."""
    return f"{name}_buffer_read_bytes", f"{name}_buffer_write_bytes"


def buffer_spec(arch: MachineConfig, name: str, design: BufferConfig) -> BufferSpec:
    """One buffer; `bytes` is its whole capacity, all slots together.

    Accesses are counted bytes / port_bytes, so an event here is one byte. Leakage is CACTI's x cost.leakage_ratio.
    """
    memory = sram(design.bytes, design.banks, design.port_bytes, arch.technology_nm, arch.cost.sram_device)
    read, write = buffer_events(name)
    silicon = Silicon(
        area_mm2=memory.area_mm2,
        leakage_mw=memory.leakage_mw * arch.cost.leakage_ratio,
        energy_pj={read: memory.read_pj / design.port_bytes, write: memory.write_pj / design.port_bytes},
        sources=(*memory.sources, f"leakage x cost.leakage_ratio {arch.cost.leakage_ratio:g}"),
    )
    return BufferSpec(name, silicon)


def slots_of(system: System, key: str, design: BufferConfig | None, part_bytes: Mapping[str, int]) -> dict[str, Take]:
    """Slots of a buffer with room for all parts each: as many as fit, at most its own number; a slot of each part.

    ConfigError by the buffer's `key` in the configuration: there is none, not one slot fits, or it is to be a pool.
    """
    needed = sum(part_bytes.values())
    if design is None:
        raise ConfigError(f"{key}: missing; this machine keeps {', '.join(part_bytes)} in it")
    if design.residency == "pool":
        raise ConfigError(f"{key}.residency pool: this machine keeps whole tensors")
    fitting = design.bytes // max(1, needed)
    if not fitting:
        raise ConfigError(f"{key}.bytes is {design.bytes}, but this trace needs at least {needed}")
    count = min(design.slots, fitting)
    return {part: Take(system.buffer(f"the {part} buffer", count)) for part in part_bytes}


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
    read, write = buffer_events(stream)
    return Job(
        f"dma_{stream}",
        "move",
        place,
        operands=operands,
        space=space,
        makes=makes,
        frees=frees,
        transfer=transfer,
        events={read if transfer.is_write else write: transfer.num_bytes},
    )
