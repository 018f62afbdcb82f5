"""The buffers on the chip, and which of them a design has a use for."""

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.machine.spec import BufferSpec, Silicon, absent
from dsasim.sim.parts import buffer_events, buffer_spec

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
    """One buffer, or none."""
    return absent(*buffer_events(name)) if design is None else buffer_spec(arch, name, design).silicon
