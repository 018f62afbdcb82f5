"""More of a thing makes no run slower by more than the scheduling anomalies of DEVIATIONS 44 and 45."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

CASES = 30
MORE = {
    "twice the banks": ("buffers.k.banks=4", "buffers.k.banks=8", 1.0),
    "twice the port width": ("buffers.v.port_bytes=4", "buffers.v.port_bytes=8", 1.0),
    "another scheduler": ("scheduler.num_schedulers=1", "scheduler.num_schedulers=2", 1.0),
    "faster softmax": ("softmax.exp_per_cycle=1", "softmax.exp_per_cycle=4", 1.05),
    "twice the lanes": ("pe_array.lanes=1", "pe_array.lanes=2", 1.1),
    "twice the channels": ("dram.channels=1", "dram.channels=2", 1.15),
    "more outstanding bursts": ("dma.outstanding_bursts=1", "dma.outstanding_bursts=4", 1.05),
    "another open transfer": ("dma.open_transfers=1", "dma.open_transfers=2", 1.05),
}
"""What is tried: less, more, and how much slower more may be at worst in these cases (of 1,000 some are slower)."""


@pytest.mark.parametrize("what", MORE)
def test_more_is_hardly_slower(
    what: str,
    tiny: Callable[..., ArchConfig],
    masked: Callable[..., AttentionTrace],
    run: Callable[..., MachineResult],
) -> None:
    less, more, at_worst = MORE[what]
    gained = 0
    for seed in range(CASES):
        rng = Random(seed)
        keep = np.random.default_rng(seed).random((2, rng.randint(4, 16), rng.randint(4, 16))) < rng.random()
        trace = masked(keep, kv_heads=rng.choice([1, 2]))
        design = (
            f"scheduler.order={rng.choice(['in_order', 'reordered'])}",
            f"scheduler.tile_rows={rng.choice([4, 8])}",
            f"scheduler.keys_classified_per_cycle={rng.choice([1, 4])}",
            f"clock_ghz={rng.choice(['0.1', '1', '1.6'])}",
        )
        little, much = (run(tiny(*design, choice), trace).cycles for choice in (less, more))
        assert much <= at_worst * little, (seed, little, much)
        gained += much < little
    assert gained > 0
