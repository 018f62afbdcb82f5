"""DRAM presets and address mappings as the controller kernel wants them: names become numbers once."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml
from numpy.typing import NDArray

from dsasim.kernels.dram import FIELD_BANK, FIELD_BANKGROUP, FIELD_CHANNEL, FIELD_COLUMN, FIELD_ROW
from dsasim.kernels.dram_timing import NAMES


@dataclass(frozen=True)
class DramPreset:
    """Organisation and timing of one channel; timings in memory clock cycles, sources in dram_presets.yaml."""

    timing_preset: str
    tck_ps: int
    access_bytes: int
    bank_groups: int
    banks_per_group: int
    rows: int
    columns: int
    timing_cycles: dict[str, int]

    @property
    def channel_bytes(self) -> int:
        """Capacity of one channel; a column is one eighth of a burst (burst length 8)."""
        return self.bank_groups * self.banks_per_group * self.rows * self.columns * self.access_bytes // 8

    def timing(self) -> NDArray[np.int64]:
        """The timing parameters in the kernel's order."""
        return np.array([self.timing_cycles[name] for name in NAMES], np.int64)

    def mapping(self, order: str, channels: int) -> NDArray[np.int64]:
        """Fields (kernel number, size) of a burst address from least to most significant.

        `order` names them from most to least significant, such as row-bank-column-bankgroup-channel.
        """
        sizes = {
            "channel": (FIELD_CHANNEL, channels),
            "bankgroup": (FIELD_BANKGROUP, self.bank_groups),
            "bank": (FIELD_BANK, self.banks_per_group),
            "column": (FIELD_COLUMN, self.columns // 8),
            "row": (FIELD_ROW, self.rows),
        }
        return np.array([sizes[field] for field in reversed(order.split("-"))], np.int64)


@cache
def load_presets() -> dict[str, DramPreset]:
    """All presets by name."""
    text = (files("dsasim.model") / "dram_presets.yaml").read_text(encoding="utf-8")
    return {name: DramPreset(**values) for name, values in yaml.safe_load(text).items()}
