"""A run in stretches of time: its sums are the units' books, and its bytes the memory's."""

import io

import numpy as np
import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.machine.transfer import Transfer
from dsasim.model.probe import Name
from dsasim.sim.both import Both
from dsasim.sim.over_time import MAX_BINS, OWNERS, OverTime
from dsasim.sim.timeline import Timeline

BUSY = OWNERS.index("busy")


@pytest.mark.parametrize(
    ("design", "trace", "scope", "layer", "heads"),
    [
        ("dsa-coupled", "minilm-l128", "layer", 0, None),
        ("dsa-edge", "smollm2-l512", "attention", 24, [0, 1, 2]),
    ],
)
def test_stretches_sum_to_the_books(design: str, trace: str, scope: str, layer: int, heads: list[int] | None) -> None:
    probe = OverTime()
    wanted = {"scope": scope, "probe": probe, "quality": False, "baselines": False}
    machine = simulate(load_arch(design), load_trace(trace), [layer], heads, **wanted).machine
    assert {*probe.units} == {name for name in machine.units if not name.startswith("lane_") and name != "dma"}
    for unit in probe.units:
        books = machine.units[unit]
        totals = probe.cycles(unit).sum(axis=1)
        assert dict(zip(OWNERS, totals.tolist(), strict=True)) == {"busy": books.busy_cycles, **books.stall_cycles}
        np.testing.assert_allclose(probe.shares(unit).sum(axis=0), 1)
    assert MAX_BINS // 2 <= probe.num_bins <= MAX_BINS
    assert probe.bin_cycles * probe.num_bins >= machine.cycles > probe.bin_cycles * (probe.num_bins - 1)


def test_one_stretch_a_cycle_until_there_are_too_many() -> None:
    probe = OverTime()
    probe.job("softmax", Name("softmax", ""), 0, MAX_BINS, 0, 0)
    assert (probe.bin_cycles, probe.num_bins) == (1, MAX_BINS)
    probe.job("softmax", Name("softmax", ""), MAX_BINS, 1, 0, 0)
    assert (probe.bin_cycles, probe.num_bins) == (2, MAX_BINS // 2 + 1)
    assert probe.cycles("softmax")[BUSY].tolist() == [2] * (MAX_BINS // 2) + [1]
    assert probe.shares("softmax")[BUSY].tolist() == [1.0] * (MAX_BINS // 2 + 1)


def test_lanes_are_summed() -> None:
    probe = OverTime()
    probe.job("lane_0", Name("SDDMM", ""), 0, 4, 0, 0)
    probe.job("lane_1", Name("SDDMM", ""), 0, 1, 1, 2)
    assert probe.units == ("pe_array",)
    assert probe.shares("pe_array")[BUSY].tolist() == [1.0, 0.5, 0.5, 0.5]
    assert probe.cycles("pe_array")[OWNERS.index("imbalance")].tolist() == [0, 0, 1, 1]


def test_bytes_go_to_layers_and_heads() -> None:
    probe = OverTime()
    moved = Transfer.joined([Transfer(False, np.array([0]), np.array([64]))])
    for name in (
        "Q of layer 3 head 12 tile 0",
        "K of layer 3 kv head 12",
        "Q of layer 3 head 1, 2 tile 0",
        "block 1 of weights for up of layer 3",
        "",
    ):
        probe.transfer("dma_q", 0, name, 0, 1, moved)
    assert (probe.layer_bytes, probe.head_bytes) == ({3: 192}, {(3, 12): 64})


def test_two_may_look_on(tmp_path: object) -> None:
    alone, beside, out, both_out = OverTime(), OverTime(), io.BytesIO(), io.BytesIO()
    arguments = (load_arch("dsa-decoupled"), load_trace("smollm2-l512"), [24], [0])
    simulate(*arguments, probe=alone, quality=False, baselines=False)
    with Timeline(out) as timeline:
        simulate(*arguments, probe=timeline, quality=False, baselines=False)
    with Timeline(both_out) as timeline:
        simulate(*arguments, probe=Both(timeline, beside), quality=False, baselines=False)
    assert both_out.getvalue() == out.getvalue()
    assert beside.units == alone.units
    assert all(np.array_equal(beside.cycles(unit), alone.cycles(unit)) for unit in alone.units)
