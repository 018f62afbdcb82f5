"""Peak and bandwidth of a design, for ratios against machines of other sizes.

The peak is that of all its MACs: those of the PE array, and those of the predictor's own array where a prediction is
made on it, each of which counts (predictor.bits / pe_array.bits)^2. That is the rate at which a coupled array is taken
apart (`designs.dsa.predictor`), and about the ratio of multiplier areas. A coupled design predicts on its PE array, so
that is all it has. A GPU's peak is its data sheet's for fp16 tensor cores, or what a profile measured.
"""

from dataclasses import dataclass

from dsasim.config.schema import MachineConfig
from dsasim.model.dram_preset import peak_bytes_per_cycle
from dsasim.sim.engine import design_of


@dataclass(frozen=True)
class Peak:
    """What a design could do at best: MACs by array and width, two operations each, and DRAM."""

    array_macs: int
    array_bits: int
    predictor_macs: int
    predictor_bits: int | None
    tflops: float
    memory_gbps: float


def peak_of(arch: MachineConfig) -> Peak:
    """The peak of a design.

    Worked example: 256 MACs of 16 bits and 64 x 72 of 4 bits at 1 GHz: 256 + 4608 / 16 = 544, so 1.088 TFLOP/s.
    """
    macs = design_of(arch).macs()
    counted = macs.array + macs.predictor * ((macs.predictor_bits or 0) / macs.array_bits) ** 2
    return Peak(
        array_macs=macs.array,
        array_bits=macs.array_bits,
        predictor_macs=macs.predictor,
        predictor_bits=macs.predictor_bits,
        tflops=2e-3 * counted * float(arch.clock_ghz),
        memory_gbps=float(peak_bytes_per_cycle(arch)) * float(arch.clock_ghz),
    )
