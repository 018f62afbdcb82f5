"""Runs that nobody would wait for are refused before they start."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dsasim.api import simulate
from dsasim.config.loader import load_arch
from dsasim.errors import TraceError
from dsasim.sim.engine import run_machine
from dsasim.sim.limits import MAX_BURSTS, check_work
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.find import find_trace
from dsasim.trace.schema import MAX_POSITIONS
from dsasim.trace.store import open_trace

ARCH = load_arch("dsa-decoupled")


def claiming(trace: AttentionTrace, **sizes: int) -> AttentionTrace:
    return replace(trace, layers={number: replace(layer, **sizes) for number, layer in trace.layers.items()})


def test_a_feed_forward_part_that_is_only_claimed() -> None:
    trace = claiming(open_trace(find_trace("minilm-l128")), d_ff=1 << 24)
    first = trace.layer_numbers[0]
    with pytest.raises(TraceError, match=r"at most 2,147,483,648 are simulated; .* of them are for layer") as caught:
        simulate(ARCH, trace, layers=[first], scope="layer")
    assert "product down (128 x 16,777,216 by 16,777,216 x 384)" in str(caught.value) or (
        "product up (128 x 384 by 384 x 16,777,216)" in str(caught.value)
    )
    check_work(ARCH, trace, {first: range(12)}, "attention")  # d_ff is not a part of this run


def test_masks_that_claim_a_size_of_vectors(masked: Callable[..., AttentionTrace]) -> None:
    trace = claiming(masked(np.ones((1, 8, 512, 512), np.bool_)), d_head=1 << 24)
    with pytest.raises(TraceError, match=r"Q, K, V and output \(8 heads, L_q 512, L_k 512, d_head 16,777,216\)"):
        check_work(ARCH, trace, {0: range(8)}, "attention")


def test_more_positions_than_anyone_waits_for(masked: Callable[..., AttentionTrace]) -> None:
    trace = claiming(masked(np.ones((1, 4, 2, 2), np.bool_)), L_q=1 << 20, L_k=(1 << 20) + 1)
    with pytest.raises(TraceError, match=rf"at most {MAX_POSITIONS:,} are simulated"):
        check_work(ARCH, trace, {0: range(4)}, "attention")


@pytest.mark.parametrize("scope", ["attention", "layer"])
def test_the_bound_counts_no_more_than_is_run(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bound at what a run was found to move it passes; the count is a lower bound, and near the dense part."""
    trace = open_trace(find_trace("minilm-l128"))
    selection = {trace.layer_numbers[0]: range(12)}
    counters = run_machine(ARCH, trace, selection, scope=scope).counters
    moved = (counters["dram_read_bytes"] + counters["dram_write_bytes"]) // 64
    monkeypatch.setattr("dsasim.sim.limits.MAX_BURSTS", moved)
    check_work(ARCH, trace, selection, scope)
    monkeypatch.setattr("dsasim.sim.limits.MAX_BURSTS", moved // 2)
    with pytest.raises(TraceError, match="DRAM bursts"):
        check_work(ARCH, trace, selection, scope)
    assert moved < MAX_BURSTS
