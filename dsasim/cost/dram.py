"""Energy of the off-chip memory devices (tables/dram_energy.yaml); their silicon is not the accelerator's."""

from dataclasses import dataclass
from functools import cache

from dsasim.silicon.sourced import sourced_number, table


@dataclass(frozen=True)
class DramEnergy:
    """pJ of each event of one channel, and its standby power with a row open and with all banks precharged."""

    activate_pj: float
    read_burst_pj: float
    write_burst_pj: float
    refresh_pj: float
    standby_mw: float
    precharged_mw: float
    sources: tuple[str, ...]


@cache
def dram_energy(preset: str) -> DramEnergy:
    """Energies of a preset; a burst pays core and I/O energy for all its bits.

    DDR4_3200 read burst: 64 B x 8 x (5.481 + 5.0) pJ/bit = 5366.272 pJ. An activate includes its precharge.
    """
    row = {key: sourced_number(entry) for key, entry in table("dram_energy.yaml")["presets"][preset].items()}
    burst_bits = 8 * row["burst_bytes"].value
    io = row["io_pj_per_bit"].value
    return DramEnergy(
        activate_pj=row["activate_pj"].value,
        read_burst_pj=burst_bits * (row["read_pj_per_bit"].value + io),
        write_burst_pj=burst_bits * (row["write_pj_per_bit"].value + io),
        refresh_pj=row["refresh_pj"].value,
        standby_mw=row["standby_mw"].value,
        precharged_mw=row["precharged_mw"].value,
        sources=tuple(f"{key}: {number.provenance}" for key, number in row.items()),
    )
