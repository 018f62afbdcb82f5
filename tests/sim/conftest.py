"""Small machines on small traces, with a memory whose every edge can be followed by hand."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.sim.engine import run_machine
from dsasim.sim.result import MachineResult
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import trace_in_memory

BUFFERS = ("q", "k", "v", "predictor", "mask", "score", "output")
SMALL_BUFFER = ("bytes=1024", "banks=2", "port_bytes=8", "double_buffered=true", "num_slots=2")
TINY = (
    "clock_ghz=1.6",
    "predictor.method=given",
    "scheduler.token_parallelism=2",
    "scheduler.order=reordered",
    "scheduler.tile_rows=2",
    "scheduler.num_schedulers=1",
    "scheduler.keys_classified_per_cycle=4",
    "scheduler.id_queue_entries=2",
    "pe_array.lanes=1",
    "pe_array.macs_per_row=4",
    "softmax.exp_per_cycle=1",
    "softmax.div_per_cycle=1",
    "softmax.pipeline_depth_cycles=2",
    *(f"buffers.{name}.{setting}" for name in BUFFERS for setting in SMALL_BUFFER),
    "dma.open_transfers=2",
    "dma.outstanding_bursts=64",
    "dram.preset=DDR4_3200",
    "dram.channels=1",
    "dram.mapping=row-bank-bankgroup-column-channel",
    "dram.layout=head_contiguous",
    "dram.refresh=false",
)
"""One lane, T = 2, tiles of one group, 4 MACs a row, everything double-buffered.

At 1.6 GHz a core cycle is exactly one memory cycle of DDR4-3200 (625 ps), so memory edges are core cycles. The hand
calculations use nRCD = nCL = 22, nCWL = 16, nBL = 4, nCCD_S = 4, nCCD_L = 8, nRRD_S = 4: a burst admitted at edge e
whose bank is closed is activated at e + 1, read at e + 23 and there at e + 49. 8 KiB fill a bank group's row.
"""


@pytest.fixture
def tiny() -> Callable[..., ArchConfig]:
    """The tiny design with overrides, as in --set."""
    return lambda *overrides: load_arch("dsa-decoupled", (*TINY, *overrides))


@pytest.fixture
def masked() -> Callable[..., AttentionTrace]:
    """A trace of given masks, bool [layers, heads, L_q, L_k] (leading axes may be left out), on equal sequences."""

    def make(
        keep: Any, d_head: int = 4, kv_heads: int | None = None, causal: bool = False, sequences: int = 1
    ) -> AttentionTrace:
        masks = np.asarray(keep, dtype=np.bool_)
        masks = masks.reshape((1,) * (4 - masks.ndim) + masks.shape)
        layers = [
            MaskArrays(
                number,
                np.stack([pack_bits(head) for head in heads]),
                masks.shape[3],
                d_head,
                kv_heads or len(heads),
                causal,
                sequence,
            )
            for number, heads in enumerate(masks)
            for sequence in range(sequences)
        ]
        return trace_in_memory("masks", layers, kind="mask")

    return make


@pytest.fixture
def run() -> Callable[..., MachineResult]:
    """Run a design on a trace: all layers and heads, or those chosen."""

    def machine(
        arch: ArchConfig, trace: AttentionTrace, heads: Mapping[int, Sequence[int]] | None = None
    ) -> MachineResult:
        chosen = heads or {number: range(trace.layer(number).num_heads) for number in trace.layer_numbers}
        return run_machine(arch, trace, chosen)

    return machine


@pytest.fixture
def books() -> Callable[[MachineResult, str], dict[str, int]]:
    """A unit's cycles by owner, those of nobody left out."""

    def of(result: MachineResult, unit: str) -> dict[str, int]:
        report = result.units[unit]
        cycles = {"busy": report.busy_cycles, **report.stall_cycles}
        return {owner: count for owner, count in cycles.items() if count}

    return of
