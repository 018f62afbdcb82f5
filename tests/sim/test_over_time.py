"""A run in stretches of time: its sums are the units' books, and its bytes the memory's."""

import io

import numpy as np
import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.machine.job import NOWHERE, Job, Place
from dsasim.machine.spec import UnitSpec
from dsasim.machine.transfer import Transfer
from dsasim.sim.over_time import MAX_BINS, OWNERS, OverTime
from dsasim.sim.timeline import Timeline

BUSY = OWNERS.index("busy")
WORK = Job("a unit", "work", NOWHERE, 1)


@pytest.mark.parametrize(
    ("design", "trace", "scope", "layer", "heads"),
    [
        ("dsa-coupled", "minilm-l128", "layer", 0, None),
        ("dsa-edge", "smollm2-l512", "attention", 24, [0, 1, 2]),
    ],
)
def test_stretches_sum_to_the_books(design: str, trace: str, scope: str, layer: int, heads: list[int] | None) -> None:
    watcher = OverTime()
    wanted = {"scope": scope, "watchers": [watcher], "quality": False, "baselines": False}
    machine = simulate(load_arch(design), load_trace(trace), [layer], heads, **wanted).machine
    assert {*watcher.units} == {name for name in machine.units if not name.startswith("lane_") and name != "dma"}
    for unit in watcher.units:
        books = machine.units[unit]
        totals = watcher.cycles(unit).sum(axis=1)
        assert dict(zip(OWNERS, totals.tolist(), strict=True)) == {"busy": books.busy_cycles, **books.stall_cycles}
        np.testing.assert_allclose(watcher.shares(unit).sum(axis=0), 1)
    assert MAX_BINS // 2 <= watcher.num_bins <= MAX_BINS
    assert watcher.bin_cycles * watcher.num_bins >= machine.cycles > watcher.bin_cycles * (watcher.num_bins - 1)


def test_one_stretch_a_cycle_until_there_are_too_many() -> None:
    watcher = OverTime()
    watcher.job("softmax", WORK, 0, MAX_BINS, 0, 0)
    assert (watcher.bin_cycles, watcher.num_bins) == (1, MAX_BINS)
    watcher.job("softmax", WORK, MAX_BINS, 1, 0, 0)
    assert (watcher.bin_cycles, watcher.num_bins) == (2, MAX_BINS // 2 + 1)
    assert watcher.cycles("softmax")[BUSY].tolist() == [2] * (MAX_BINS // 2) + [1]
    assert watcher.shares("softmax")[BUSY].tolist() == [1.0] * (MAX_BINS // 2 + 1)


def test_lanes_are_summed() -> None:
    watcher = OverTime()
    watcher.begin([UnitSpec("pe_array", lanes=("lane_0", "lane_1"))])
    watcher.job("lane_0", WORK, 0, 4, 0, 0)
    watcher.job("lane_1", WORK, 0, 1, 1, 2)
    assert watcher.units == ("pe_array",)
    assert watcher.shares("pe_array")[BUSY].tolist() == [1.0, 0.5, 0.5, 0.5]
    assert watcher.cycles("pe_array")[OWNERS.index("imbalance")].tolist() == [0, 0, 1, 1]


def test_bytes_go_to_layers_and_heads() -> None:
    watcher = OverTime()
    moved = Transfer.joined([Transfer(False, np.array([0]), np.array([64]))])
    for place in (
        Place(3, heads=(12,), tile=0),
        Place(3, kv_heads=(12,)),
        Place(3, heads=(1, 2), tile=0),
        Place(3, heads=(12,), sequence=1),
        Place(3, phase="up"),
        NOWHERE,
    ):
        watcher.transfer("dma_q", 0, Job("dma_q", "move", place, transfer=moved), 0, 1)
    assert watcher.layer_bytes == {(3, None): 192, (3, 1): 64}
    assert watcher.head_bytes == {((3, None), 12): 64, ((3, 1), 12): 64}


def test_two_may_look_on(tmp_path: object) -> None:
    alone, beside, out, both_out = OverTime(), OverTime(), io.BytesIO(), io.BytesIO()
    arguments = (load_arch("dsa-decoupled"), load_trace("smollm2-l512"), [24], [0])
    simulate(*arguments, watchers=[alone], quality=False, baselines=False)
    with Timeline(out) as timeline:
        simulate(*arguments, watchers=[timeline], quality=False, baselines=False)
    with Timeline(both_out) as timeline:
        simulate(*arguments, watchers=[timeline, beside], quality=False, baselines=False)
    assert both_out.getvalue() == out.getvalue()
    assert beside.units == alone.units
    assert all(np.array_equal(beside.cycles(unit), alone.cycles(unit)) for unit in alone.units)
