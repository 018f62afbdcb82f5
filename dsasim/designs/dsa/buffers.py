"""The buffers on the chip, and which of them a design has a use for."""

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.machine.spec import BufferSpec, Silicon, absent
from dsasim.silicon.sram import sram

BUFFERS = ("q", "k", "v", "predictor", "mask", "score", "output")


def buffer_specs(arch: ArchConfig) -> list[BufferSpec]:
    """All buffers; one without a use is free, like the units that would fill it.

    The predictor's is for methods that predict, the mask's for all but dense.
    """
    unused = {"predictor": arch.predictor.free, "mask": arch.predictor.method == "dense"}
    return [
        BufferSpec(name, silicon(arch, name, None if unused.get(name) else getattr(arch.buffers, name)))
        for name in BUFFERS
    ]


def silicon(arch: ArchConfig, name: str, design: BufferConfig | None) -> Silicon:
    """One buffer; `bytes` is its whole capacity, both halves of a double buffer.

    Accesses are counted bytes / port_bytes, so an event here is one byte. Leakage is CACTI's x cost.leakage_ratio.
    """
    read, write = f"{name}_buffer_read_bytes", f"{name}_buffer_write_bytes"
    if design is None:
        return absent(read, write)
    memory = sram(design.bytes, design.banks, design.port_bytes, arch.technology_nm, arch.cost.sram_device)
    return Silicon(
        area_mm2=memory.area_mm2,
        leakage_mw=memory.leakage_mw * arch.cost.leakage_ratio,
        energy_pj={read: memory.read_pj / design.port_bytes, write: memory.write_pj / design.port_bytes},
        sources=(*memory.sources, f"leakage x cost.leakage_ratio {arch.cost.leakage_ratio:g}"),
    )
