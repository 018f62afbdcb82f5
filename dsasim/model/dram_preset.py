"""DRAM presets: the organisation of one channel and its timings, with their sources (dram_presets.yaml)."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.resources import files

import yaml

from dsasim.kernels.dram_timing import ACT, ONE_SLOT, RD, ROW_AND_COLUMN, SPLIT_ACTIVATE, WR

BUSES = {"one": ONE_SLOT, "row_and_column": ROW_AND_COLUMN, "split_activate": SPLIT_ACTIVATE}
COMMANDS = {"ACT": ACT, "RD": RD, "WR": WR}


@dataclass(frozen=True)
class DramPreset:
    """One channel; timings in memory clock cycles.

    The controller counts ticks, which it calls edges: `ticks_per_cycle` a clock cycle (2 for HBM3, whose row commands
    may start at half cycles).
    """

    standard: str
    source: str
    tck_ps: int
    data_width_bits: int
    burst_length: int
    bank_groups: int
    banks_per_group: int
    rows: int
    columns: int
    timing_cycles: dict[str, int]
    pseudo_channels: int = 1
    stacks: int = 1
    bus: str = "one"
    ticks_per_cycle: int = 1
    command_ticks: dict[str, int] = field(default_factory=dict)

    @property
    def access_bytes(self) -> int:
        """Bytes of a burst, the unit of every access."""
        return self.data_width_bits * self.burst_length // 8

    @property
    def bursts_per_row(self) -> int:
        """Bursts in a row of one bank; a column is one beat of the data bus."""
        return self.columns // self.burst_length

    @property
    def channel_bytes(self) -> int:
        """Capacity of one channel with one rank."""
        banks = self.pseudo_channels * self.stacks * self.bank_groups * self.banks_per_group
        return banks * self.rows * self.columns * self.data_width_bits // 8

    @property
    def tick_ps(self) -> Fraction:
        """Picoseconds between two edges of the controller."""
        return Fraction(self.tck_ps, self.ticks_per_cycle)

    @property
    def ticks(self) -> dict[str, int]:
        """The timings in ticks."""
        return {name: cycles * self.ticks_per_cycle for name, cycles in self.timing_cycles.items()}

    @property
    def bytes_per_tick(self) -> Fraction:
        """Peak of one channel: a burst every nBL on each of its data buses."""
        return Fraction(self.access_bytes * self.pseudo_channels, self.ticks["nBL"])


@cache
def load_presets() -> dict[str, DramPreset]:
    """All presets by name."""
    text = (files("dsasim.model") / "dram_presets.yaml").read_text(encoding="utf-8")
    return {name: DramPreset(**values) for name, values in yaml.safe_load(text).items()}
