"""DRAM presets: the organisation of one channel and its timings, with their sources (dram_presets.yaml)."""

from dataclasses import field
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from dsasim.config.schema import MachineConfig
from dsasim.errors import ConfigError
from dsasim.kernels.dram_timing import ACT, ONE_SLOT, RD, ROW_AND_COLUMN, SPLIT_ACTIVATE, WR
from dsasim.model.dram_sources import PresetFile, SourcedValues

BUSES = {"one": ONE_SLOT, "row_and_column": ROW_AND_COLUMN, "split_activate": SPLIT_ACTIVATE}
COMMANDS = {"ACT": ACT, "RD": RD, "WR": WR}

Count = Annotated[int, Field(ge=1)]
ALWAYS = frozenset({
    "nBL", "nCL", "nCWL", "nRP", "nRAS", "nRC", "nWR", "nRTP", "nCCDS", "nCCDL", "nRRDS", "nRRDL", "nFAW", "nWTRS",
    "nWTRL", "nRTW", "nRFC", "nREFI",
})  # fmt: skip
"""Timings of every memory; beside them nRCD, or nRCDRD and nRCDWR."""
TIMINGS = ALWAYS | {"nRCD", "nRCDRD", "nRCDWR", "nBL_max", "nRPab", "nPPD", "nCS", "nCCDR", "nAAD", "nWCKPST"}
"""All that a rule of `model.dram_rules` or the controller knows; another would be without effect, so it is refused."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class DramPreset:
    """One channel; timings in memory clock cycles. A ValidationError names what is missing or not known.

    The controller counts ticks, which are its memory cycles: `ticks_per_cycle` a clock cycle (2 for HBM3, whose row
    commands may start at half cycles).
    """

    standard: str
    channel: str
    sources: tuple[SourcedValues, ...]
    tck_ps: Count
    data_width_bits: Count
    burst_length: Count
    bank_groups: Count
    banks_per_group: Count
    rows: Count
    columns: Count
    bus: Literal["one", "row_and_column", "split_activate"]
    timing_cycles: dict[str, Count]
    pseudo_channels: Count = 1
    stacks: Count = 1
    ticks_per_cycle: Count = 1
    command_ticks: dict[Literal["ACT", "RD", "WR"], Count] = field(default_factory=dict)

    @field_validator("timing_cycles")
    @classmethod
    def _complete(cls, cycles: dict[str, int]) -> dict[str, int]:
        missing = sorted(ALWAYS - cycles.keys())
        if "nRCD" not in cycles and not {"nRCDRD", "nRCDWR"} <= cycles.keys():
            missing.append("nRCD")
        if missing:
            raise ValueError(f"no {', '.join(missing)}")
        return cycles

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
        """Picoseconds of a tick: the controller's memory cycle."""
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
    return read_presets((files("dsasim.model") / "dram_presets.yaml").read_text(encoding="utf-8"))


def read_presets(text: str) -> dict[str, DramPreset]:
    """The presets of a file, aliases last; ValidationError if a value has no source, or is none that a preset has."""
    file = PresetFile.model_validate(yaml.safe_load(text))
    presets = {name: _preset(entry.standard, entry.channel, file.sourced(name)) for name, entry in file.presets.items()}
    return presets | {alias: presets[name] for alias, name in file.aliases.items()}


def _preset(standard: str, channel: str, sources: tuple[SourcedValues, ...]) -> DramPreset:
    values: dict[str, Any] = {name: value for group in sources for name, value in group.values.items()}
    timings = {name: values.pop(name) for name in list(values) if name in TIMINGS}
    return DramPreset(standard=standard, channel=channel, sources=sources, timing_cycles=timings, **values)


def find_preset(name: str) -> DramPreset:
    """The preset of this name; ConfigError with the nearest one."""
    presets = load_presets()
    if name in presets:
        return presets[name]
    nearest = get_close_matches(name.upper(), presets, n=1, cutoff=0.0)[0]
    raise ConfigError(f"no DRAM preset {name!r}; did you mean {nearest}? There are {', '.join(presets)}")


def core_cycles_per_memory_cycle(arch: MachineConfig) -> Fraction:
    """Core cycles in a memory cycle (a tick of the controller), exactly.

    Worked example: a memory cycle of 625 ps is half a core cycle at 0.8 GHz.
    """
    return load_presets()[arch.dram.preset].tick_ps * Fraction(arch.clock_ghz) / 1000


def peak_bytes_per_cycle(arch: MachineConfig) -> Fraction:
    """Bytes a core cycle that all channels can move: one burst every nBL memory cycles on each data bus.

    Worked example: 64 bytes every nBL = 4 memory cycles of 625 ps, at 1.6 GHz a core cycle each: 16 a channel.
    """
    bytes_per_memory_cycle = load_presets()[arch.dram.preset].bytes_per_tick * arch.dram.channels
    return bytes_per_memory_cycle / core_cycles_per_memory_cycle(arch)
