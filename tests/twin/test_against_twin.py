"""dsasim against its cycle-stepped twin: total, busy and every stall of every unit, cycles of every head, traffic.

500 random cases in all; DSASIM_TWIN_CASES asks for another number, `python -m twin.hunt` for as many as you like.
"""

import os
import re
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.cases import METHODS, random_case
from twin.compare import assert_same

HERE = Path(__file__).parent
CASES = int(os.environ.get("DSASIM_TWIN_CASES", "500"))
RANDOM = st.randoms(use_true_random=False)
"""Hypothesis chooses, and shrinks, every choice that makes up a case."""


def share(part: float) -> settings:
    """Part of all cases; a big case takes a while, and hypothesis may call it slow."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(deadline=None, max_examples=max(1, int(CASES * part)), suppress_health_check=slow)


@share(0.3)
@given(rng=RANDOM)
def test_given_masks(rng: Random) -> None:
    assert_same(random_case(rng, "given"))


@share(0.3)
@given(rng=RANDOM)
def test_predicted_masks(rng: Random) -> None:
    assert_same(random_case(rng, "dsa2021"))


@share(0.2)
@given(rng=RANDOM)
def test_dense_machines(rng: Random) -> None:
    """Token-parallel and systolic."""
    assert_same(random_case(rng, "dense"))


@share(0.1)
@given(rng=RANDOM)
def test_oracle_masks(rng: Random) -> None:
    assert_same(random_case(rng, "oracle"))


@share(0.1)
@given(rng=RANDOM, seed=st.integers(0, 1000))
def test_the_order_of_processes_and_events_of_others_change_nothing(rng: Random, seed: int) -> None:
    assert_same(random_case(rng, rng.choice(METHODS)), disturbed=Random(seed))


def test_the_twin_shares_no_code_with_what_it_checks() -> None:
    """Only `compare` runs dsasim, and `cases` makes designs and traces; the others may name the type of a trace."""
    for path in (*HERE.glob("*.py"), *HERE.parent.glob("twin_*.py")):
        imported = re.findall(r"^ *(?:from|import) (dsasim\S*)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(imported) <= {"dsasim.trace.attention"} or path.name in ("compare.py", "cases.py"), (path, imported)
