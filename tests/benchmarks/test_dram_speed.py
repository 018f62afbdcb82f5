"""Speed of `dsasim dram` without the CSV: every preset on every golden trace pattern (run with -m benchmark).

Requests a CPU second, from the best of a few rounds; a table, ready to paste, has a row a trace and a column a memory.
Totals of DDR4 are 3 M streaming and on sorted gathers, 1.5 M unsorted and random, and of the others, with more banks,
buses or half cycles, OTHERS times that. The references do 0.1 to 0.3 M.
"""

import time
from typing import Any

import numpy as np
import pytest
from dram_traces import make_traces

from dsasim.model.dram_memory import MemoryUse
from dsasim.model.dram_preset import load_presets
from dsasim.model.dram_replay import replay_trace
from dsasim.trace.requests import Requests

pytestmark = pytest.mark.benchmark(timer=time.process_time, min_rounds=3, max_time=0.3)
ROW_ORDER = "row-bank-bankgroup-rank-column"
USES = {
    "ddr4_2400": ("DDR4_2400", MemoryUse(ROW_ORDER, refresh=True), 1),
    "ddr4_3200": ("DDR4_3200", MemoryUse(ROW_ORDER, refresh=True), 1),
    "ddr4_2400_mop4": ("DDR4_2400", MemoryUse("mop4", refresh=True), 1),
    "lpddr5_4ch": ("LPDDR5_6400", MemoryUse("mop4", channels=4, refresh=True), 2),
    "gddr6_2ch": ("GDDR6_14000", MemoryUse("mop4", channels=2, refresh=True), 2),
    "hbm2_8ch": ("HBM2_2000", MemoryUse("mop4", channels=8, refresh=True), 8),
    "hbm3_16ch": ("HBM3_6400", MemoryUse("mop4", channels=16, refresh=True), 16),
}
TRACES = [name for name in make_traces(32) if name.startswith(("seq", "stride", "random", "gather", "mix"))]
ORDERED = ("seq_", "gather_sorted", "gather_block")
RANDOM = ("random", "gather_unsorted", "mix_random")
OTHERS = 0.7


def floor_of(use: str, trace: str) -> float:
    """Millions of requests a CPU second that a row must reach."""
    asked = 3.0 if trace.startswith(ORDERED) else 1.5 if trace.startswith(RANDOM) else 1.0
    return asked if use in ("ddr4_2400", "ddr4_3200") else OTHERS * asked


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("use", USES)
def test_replay(benchmark: Any, use: str, trace: str) -> None:
    name, memory, per_cycle = USES[use]
    preset = load_presets()[name]
    made = make_traces(preset.access_bytes)[trace]
    part = Requests(made.addresses // preset.access_bytes, made.writes.astype(np.uint8), made.not_before.copy(), 1.0)
    replay_trace(preset, memory, [part], per_cycle)  # compiled
    benchmark(lambda: replay_trace(preset, memory, [part], per_cycle))
    millions = len(part.bursts) / benchmark.stats.stats.min / 1e6
    benchmark.extra_info["requests_per_second"] = round(1e6 * millions)
    assert millions >= floor_of(use, trace)
