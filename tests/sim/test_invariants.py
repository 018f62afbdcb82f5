"""Each law is checked: a finished run with one number bent breaks the law that forbids it, by name."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from dsasim.config.schema import ArchConfig
from dsasim.errors import InvariantError
from dsasim.machine.statistics import Totals
from dsasim.sim.design import Demand
from dsasim.sim.engine import design_of
from dsasim.sim.invariants import check, serial_cycles
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

FULL = [[1, 1, 1, 1]] * 4
DEMAND = Demand(sparse_macs=2 * 16 * 4, num_bytes=128)
TOTALS = Totals(job_cycles=100, transfers=6, bursts=6)
"""What the tiny machine asks for: Q, K, V, output of 32 bytes, two tiles; cycles of jobs only bound the total."""


@pytest.fixture
def laws(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace], run: Callable[..., MachineResult]
) -> Callable[..., dict[str, bool]]:
    """Check a good run with some of what it says replaced."""
    arch = tiny()
    good = run(arch, masked(FULL))

    def checked(
        demand: Demand = DEMAND, totals: Totals = TOTALS, counters: dict[str, int] | None = None, **fields: Any
    ) -> dict[str, bool]:
        bent, specs = replace(good, **fields), design_of(arch).units()
        counted = dict(good.counters) | (counters or {})
        return check(arch, specs, bent.cycles, bent.units, counted, bent.layers, [demand], totals)

    checked.good = good
    return checked


def broken(check_run: Callable[[], Any]) -> str:
    with pytest.raises(InvariantError) as caught:
        check_run()
    return str(caught.value)


def test_a_good_run_keeps_all(laws: Callable[..., dict[str, bool]]) -> None:
    assert set(laws().values()) == {True}


def test_a_cycle_without_an_owner(laws: Any) -> None:
    softmax = laws.good.units["softmax"]
    units = dict(laws.good.units) | {"softmax": replace(softmax, busy_cycles=softmax.busy_cycles + 1)}
    assert "busy_plus_stalls_is_total" in broken(lambda: laws(units=units))


def test_a_negative_stall(laws: Any) -> None:
    softmax = laws.good.units["softmax"]
    stalls = dict(softmax.stall_cycles) | {"dram": -1, "operand": softmax.stall_cycles["operand"] + 1}
    units = dict(laws.good.units) | {"softmax": replace(softmax, stall_cycles=stalls)}
    assert "no_negative_cycles" in broken(lambda: laws(units=units))


def test_utilisation_above_one(laws: Any) -> None:
    units = dict(laws.good.units) | {"pe_array": replace(laws.good.units["pe_array"], utilisation_ratio=1.01)}
    assert "utilisation_at_most_one" in broken(lambda: laws(units=units))


@pytest.mark.parametrize(
    ("demand", "law"),
    [
        ({"sparse_macs": 2 * 15 * 4}, "macs_are_two_nnz_d_head"),
        ({"dense_macs": 1}, "dense_macs_are_the_products"),
        ({"num_bytes": 1000}, "dram_moves_at_least_the_tensors"),
    ],
)
def test_less_or_more_than_must_be_done(laws: Any, demand: dict[str, int], law: str) -> None:
    assert law in broken(lambda: laws(demand=replace(DEMAND, **demand)))


@pytest.mark.parametrize(
    ("totals", "law"),
    [
        ({"bursts": 7}, "dram_bursts_are_those_asked_for"),
        ({"job_cycles": 0, "bursts": 0, "transfers": 0}, "cycles_at_most_serial"),
    ],
)
def test_less_or_more_than_was_asked_for(laws: Any, totals: dict[str, int], law: str) -> None:
    assert law in broken(lambda: laws(totals=replace(TOTALS, **totals)))


def test_more_than_the_peak(laws: Any) -> None:
    message = broken(lambda: laws(counters={"dram_read_bytes": 1 << 20}))
    assert "bandwidth_at_most_peak" in message
    assert "cycles_at_least_roofline" in message


def test_heads_and_layers_that_do_not_sum(laws: Any) -> None:
    (layer,) = laws.good.layers
    longer = replace(layer, cycles=layer.cycles + 1)
    message = broken(lambda: laws(layers=(longer,)))
    assert "layers_sum_to_total" in message


def test_serial_bound_by_hand(tiny: Callable[..., ArchConfig]) -> None:
    """DDR4-3200 at 1.6 GHz, an edge a cycle.

    A burst at worst: nCWL + nBL + nWR + nRP + nRC + nCL + nBL + 1 = 16 + 4 + 24 + 22 + 74 + 22 + 4 + 1 = 167 edges.
    """
    assert serial_cycles(tiny(), TOTALS) == 100 + 6 * 167 + 6 * 2
    # of each nREFI = 12480 edges a refresh may cost nRFC = 576 and a burst's 167; one may be due at once
    one = 100 + 6 * 167 + 6 * 2
    assert serial_cycles(tiny("dram.refresh=true"), TOTALS) == Fraction(one + 743) * 12480 / (12480 - 743)
