"""A design and a run whose costs the tests work out by hand."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsasim.config.schema import ArchConfig

BUFFER = {"bytes": 32768, "banks": 4, "port_bytes": 32, "double_buffered": True}

BY_HAND: dict[str, Any] = {
    "clock_ghz": 2,
    "technology_nm": 45,
    "predictor": {"method": "dsa2021", "bits": 4, "array_rows": 8, "array_columns": 4},
    "mask_generator": {"selection": "top_k", "num_selectors": 2, "comparators": 8},
    "scheduler": {
        "token_parallelism": 4,
        "order": "reordered",
        "tile_rows": 16,
        "num_schedulers": 2,
        "keys_classified_per_cycle": 16,
        "id_queue_entries": 16,
    },
    "pe_array": {"lanes": 2, "macs_per_row": 16, "bits": 16},
    "softmax": {"exp_per_cycle": 4, "div_per_cycle": 2},
    "buffers": dict.fromkeys(("q", "k", "v", "predictor", "mask", "score", "output"), BUFFER),
    "dram": {"preset": "DDR4_3200", "channels": 2},
    "cost": {"pe_overhead_ratio": 3.0, "sram_device": "itrs-hp", "leakage_ratio": 0.1},
}
"""Every value the hand calculations use; the rest of the design is the shipped default's."""


@dataclass(frozen=True)
class Run:
    """A run with the two fields that cost reads."""

    cycles: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)


@pytest.fixture
def make_arch() -> Callable[..., ArchConfig]:
    """Build the design with some keys changed: `make_arch(**{"dram.channels": 1})`."""

    shipped = yaml.safe_load((Path(__file__).parents[2] / "arch_configs" / "dsa-decoupled.yaml").read_text())

    def make(**changes: Any) -> ArchConfig:
        design = deepcopy(shipped)
        for key, value in deepcopy(BY_HAND).items():
            design[key] = design[key] | value if isinstance(value, dict) else value
        for path, value in changes.items():
            *sections, key = path.split(".")
            part = design
            for section in sections:
                part = part[section]
            part[key] = value
        return ArchConfig.model_validate(design)

    return make


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """Build a run in which nothing happens but what is named: `make_run(cycles=10, macs_sddmm=3)`.

    Counters in `without` are missing from it.
    """

    def make(cycles: int = 0, without: tuple[str, ...] = (), **counters: int) -> Run:
        present = dict.fromkeys((name for name in every_counter() if name not in without), 0)
        return Run(cycles, present | counters)

    return make


def every_counter() -> tuple[str, ...]:
    """All counters of a run, as the interface between simulator and cost lists them."""
    buffers = ("q", "k", "v", "predictor", "mask", "score", "output")
    return (
        *("macs_sddmm", "macs_spmm", "macs_dense", "macs_predictor", "adds_predictor", "mask_comparisons"),
        *("keys_classified", "keys_issued", "keys_spilled", "softmax_exponentials", "softmax_divisions"),
        *("k_vector_reads", "v_vector_reads", "idle_row_slots"),
        *(f"{name}_buffer_{way}_bytes" for name in buffers for way in ("read", "write")),
        *("dram_read_bytes", "dram_write_bytes", "dram_read_bursts", "dram_write_bursts", "dram_activates"),
        *("dram_precharges", "dram_row_hits", "dram_row_misses", "dram_row_conflicts", "dram_refreshes"),
        *("dram_forwarded_reads", "dram_merged_writes", "dram_open_edges"),
    )
