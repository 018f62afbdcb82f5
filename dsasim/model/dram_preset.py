"""DRAM presets: the organisation of one channel and its timings, with their sources (dram_presets.yaml)."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from importlib.resources import files

import yaml

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
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


def find_preset(name: str) -> DramPreset:
    """The preset of this name; ConfigError with the nearest one."""
    presets = load_presets()
    if name in presets:
        return presets[name]
    nearest = get_close_matches(name.upper(), presets, n=1, cutoff=0.0)[0]
    raise ConfigError(f"no DRAM preset {name!r}; did you mean {nearest}? There are {', '.join(presets)}")


def core_cycles_per_edge(arch: ArchConfig) -> Fraction:
    """Core cycles between two edges of the memory controller, exactly.

    Worked example: edges 625 ps apart at 0.8 GHz are half a core cycle apart.
    """
    return load_presets()[arch.dram.preset].tick_ps * Fraction(arch.clock_ghz) / 1000


def peak_bytes_per_cycle(arch: ArchConfig) -> Fraction:
    """Bytes a core cycle that all channels can move: one burst every nBL memory cycles on each data bus.

    Worked example: 64 bytes every nBL = 4 edges of 625 ps, at 1.6 GHz a core cycle each: 16 a channel.
    """
    per_edge = load_presets()[arch.dram.preset].bytes_per_tick * arch.dram.channels
    return per_edge / core_cycles_per_edge(arch)
