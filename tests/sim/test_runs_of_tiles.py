"""Plans are made for a run of tiles at a time: where the runs are cut changes nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import shape
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

OPTIONS = {
    "plain": (),
    "in order": ("scheduler.order=in_order",),
    "pools": ("buffers.k.bytes=64", "buffers.v.bytes=48", "buffers.k.residency=pool"),
    "heads": ("pe_array.lanes=2", "pe_array.lane_split=heads", "scheduler.tile_rows=4"),
    "dense": ("predictor.method=dense",),
    "systolic": ("predictor.method=dense", "pe_array.dataflow=systolic"),
    "spilled scores": ("buffers.score.bytes=16",),
    "few entries": ("scheduler.id_queue_entries=1",),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_where_runs_are_cut_changes_nothing(
    option: str,
    tiny: Callable[..., ArchConfig],
    masked: Callable[..., AttentionTrace],
    run: Callable[..., MachineResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep = np.random.default_rng(1).random((3, 13, 13)) < 0.5
    arch, trace = tiny(*OPTIONS[option]), masked(keep & np.tri(13, dtype=np.bool_), causal=True)
    whole = run(arch, trace)
    monkeypatch.setattr(shape, "RUN_POSITIONS", 1)
    assert run(arch, trace) == whole
