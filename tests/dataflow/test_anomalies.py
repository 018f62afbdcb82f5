"""What more banks and more lanes may do to the array's time: what never happens, and the anomalies that do.

Never slower: a multiple of the banks in lock-step (keys apart stay apart); any number of lanes against one; a multiple
of the lanes where no bank is short. Otherwise a key may move to a bank, or a group to a lane, where it meets others.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.dataflow.plan import Plan, make_plan
from dsasim.dataflow.token_parallel import WALKS, VectorTiming
from dsasim.kernels.key_blocks import tile_bounds
from dsasim.predictors.base import KeepMask

UNTIMED = settings(deadline=None, max_examples=150)
AMPLE = VectorTiming(banks=1, vector_cycles=1000, read_cycles=1)


def cycles(plan: Plan, groups_per_tile: int, lanes: int, timing: VectorTiming, lane_sync: str = "lock_step") -> int:
    """Cycles of all tiles of a plan."""
    bounds = tile_bounds(plan.step_ptr, groups_per_tile)
    walk = WALKS[lane_sync].parts(bounds, plan.step_ptr, plan.load_ptr, plan.load_key, lanes, *timing)
    return int(walk[0].sum())


def plan_of(*rows: str) -> Plan:
    """Rows alone, in order; '1' where a row keeps a key."""
    keep = KeepMask.from_dense(np.array([[mark == "1" for mark in row] for row in rows]))
    return make_plan(keep, "in_order", 1)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any mask, T and order."""
    shape = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    density = draw(st.sampled_from([0.1, 0.3, 0.7]))
    keep = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(shape) < density
    order = draw(st.sampled_from(["in_order", "reordered"]))
    return make_plan(KeepMask.from_dense(keep), order, draw(st.integers(1, 8)))


TIMINGS = st.builds(
    VectorTiming, banks=st.integers(1, 9), vector_cycles=st.integers(1, 5), read_cycles=st.integers(1, 3)
)
SYNCS = st.sampled_from(sorted(WALKS))


@UNTIMED
@given(plans(), st.integers(1, 9), st.integers(1, 5), TIMINGS, st.integers(2, 4))
def test_a_multiple_of_the_banks_is_never_slower_in_lock_step(
    plan: Plan, groups_per_tile: int, lanes: int, timing: VectorTiming, times: int
) -> None:
    more = timing._replace(banks=times * timing.banks)
    assert cycles(plan, groups_per_tile, lanes, more) <= cycles(plan, groups_per_tile, lanes, timing)


def test_one_more_bank_may_be_slower() -> None:
    """Keys 0 and 3 are apart in two banks and meet in the first of three."""
    plan = plan_of("1000", "0001")
    two, three = (cycles(plan, 2, 2, VectorTiming(banks, 1, 1)) for banks in (2, 3))
    assert (two, three) == (1, 2)


def test_twice_the_banks_may_be_slower_for_lanes_on_their_own() -> None:
    """Four banks serve lane 0's key 6 at once, so it asks for key 1 in lane 1's cycle, and lane 1 waits: Graham."""
    plan = plan_of("1000001", "1110000", "0101100", "0010011")
    two, four = (cycles(plan, 4, 2, VectorTiming(banks, 1, 1), "independent") for banks in (2, 4))
    assert (two, four) == (7, 8)


@UNTIMED
@given(plans(), st.integers(1, 9), st.integers(1, 6), TIMINGS, SYNCS)
def test_lanes_are_never_slower_than_one_and_never_gain_more_than_their_number(
    plan: Plan, groups_per_tile: int, lanes: int, timing: VectorTiming, lane_sync: str
) -> None:
    one, many = (cycles(plan, groups_per_tile, at, timing, lane_sync) for at in (1, lanes))
    assert many <= one <= lanes * many


@UNTIMED
@given(plans(), st.integers(1, 9), st.integers(1, 4), st.integers(2, 4), SYNCS)
def test_a_multiple_of_the_lanes_is_never_slower_where_banks_are_not_short(
    plan: Plan, groups_per_tile: int, lanes: int, times: int, lane_sync: str
) -> None:
    few, many = (cycles(plan, groups_per_tile, at, AMPLE, lane_sync) for at in (lanes, times * lanes))
    assert many <= few


def test_one_more_lane_may_give_long_groups_to_the_same_lane() -> None:
    """Rows of 3, 1, 1 and 3 keys: two lanes do 3 + 1 each, three give rows 0 and 3 to lane 0."""
    plan = plan_of("111", "100", "100", "111")
    assert [cycles(plan, 4, lanes, AMPLE) // 1000 for lanes in (2, 3, 4)] == [4, 6, 3]


def test_one_more_lane_may_part_lanes_that_shared_a_read() -> None:
    """One bank: with two lanes rows 2 and 3 read key 2 together; with three, row 3 reads it alone later."""
    plan = plan_of("100", "010", "001", "001")
    assert [cycles(plan, 4, lanes, VectorTiming(1, 1, 1)) for lanes in (2, 3, 4)] == [3, 4, 3]


@UNTIMED
@given(plans(), st.integers(1, 9), st.integers(1, 5))
def test_lanes_wait_for_each_other_only_when_banks_are_short(plan: Plan, groups_per_tile: int, lanes: int) -> None:
    alone, together = (cycles(plan, groups_per_tile, lanes, AMPLE, lane_sync) for lane_sync in sorted(WALKS))
    assert alone == together
