"""Metrics against a real run."""

import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.sim.engine import design_of, events_of
from dsasim.sweep.metrics import DRAM_COUNTERS, METRICS, parse_constraint


@pytest.fixture(scope="module")
def result() -> dict:
    return simulate(load_arch("dsa-edge"), load_trace("minilm-l128"), layers=[2], heads=[0]).to_json()


def test_every_metric_is_a_number_of_a_run(result: dict) -> None:
    assert all(METRICS[name].value(result) > 0 for name in METRICS)
    assert METRICS["edp"].value(result) == result["energy_pj"]["total"] * result["time_ns"]


def test_the_counters_known_are_those_of_a_run(result: dict) -> None:
    assert {*events_of(design_of(load_arch("dsa-decoupled"))), *DRAM_COUNTERS} == result["counters"].keys()


@pytest.mark.parametrize(("symbol", "words"), [("<", "it is 5"), ("<=", ""), (">", "it is 5"), (">=", "")])
def test_limits_at_the_limit(symbol: str, words: str) -> None:
    limit = parse_constraint(f"cycles {symbol} 5")
    assert limit.broken({"cycles": 5}) == (words and f"constraint cycles {symbol} 5: {words}")


@pytest.mark.parametrize("text", ["captured_mass_ratio > 0.5", "output_rel_l2 < 5", "speedup_vs_dense >= 0"])
def test_a_limit_on_what_a_run_does_not_have_is_broken(text: str) -> None:
    assert parse_constraint(text).broken({"quality": None, "baseline": None}) == f"constraint {text}: it is None"


def test_numbers_may_have_exponents() -> None:
    assert parse_constraint("energy_pj<1.5e6").limit == 1.5e6
