"""Who owns an idle cycle: the worked example, and a twin that asks of each cycle which reason holds first."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from simpy import Environment

from dsasim.machine.job import NOWHERE, Job
from dsasim.machine.space import Buffer, Take
from dsasim.machine.spec import UnitSpec
from dsasim.machine.token import Token
from dsasim.machine.unit import Unit
from dsasim.machine.waits import Wait, classify


def operand(opened: int | None, at: int) -> Token:
    token = Token("an operand")
    token.opened, token.at = opened, at
    return token


def owner(cycle: int, stage_began: int, slot_at: int, turn_at: int, operands: list[Token]) -> str:
    if cycle < stage_began:
        return "dependency"
    if cycle < slot_at:
        return "output_full"
    moving = any(o.opened is not None and o.at is not None and o.opened <= cycle < o.at for o in operands)
    if moving:
        return "dram"
    return "dependency" if cycle < turn_at else "operand"


def totals(waits: list[Wait]) -> dict[str, int]:
    """Cycles by owner, of waits that follow each other without a gap."""
    for wait, after in pairwise(waits):
        assert wait.end == after.start
    found: Counter[str] = Counter()
    for reason, start, end in waits:
        assert start < end
        found[reason] += end - start
    return found


def test_worked_example() -> None:
    """Free at 10, slot at 12, transfer 11 .. 20: cycles 10 and 11 are output_full, 12 .. 19 dram."""
    assert classify(10, 0, 12, 0, [operand(11, 20)], 20) == [Wait("output_full", 10, 12), Wait("dram", 12, 20)]


def test_overlapping_transfers_count_once_and_gaps_are_operand() -> None:
    """Transfers 2 .. 6 and 4 .. 8 and 12 .. 15, waiting from 0 to 15."""
    found = classify(0, 0, 0, 0, [operand(12, 15), operand(2, 6), operand(4, 8)], 15)
    assert totals(found) == {"dram": 9, "operand": 6}
    assert [wait for wait in found if wait.reason == "operand"] == [Wait("operand", 0, 2), Wait("operand", 8, 12)]


def test_what_comes_from_another_unit_is_operand() -> None:
    assert classify(3, 0, 3, 0, [operand(None, 9)], 9) == [Wait("operand", 3, 9)]


def test_waiting_for_the_stage_is_dependency_before_all_else() -> None:
    found = classify(5, 20, 30, 0, [operand(0, 40)], 40)
    assert found == [Wait("dependency", 5, 20), Wait("output_full", 20, 30), Wait("dram", 30, 40)]


@given(
    idle_since=st.integers(0, 30),
    wait=st.integers(0, 30),
    stage_began=st.integers(0, 60),
    slot_at=st.integers(0, 60),
    turn_at=st.integers(0, 60),
    windows=st.lists(st.tuples(st.none() | st.integers(0, 60), st.integers(0, 60)), max_size=4),
)
def test_every_cycle_has_the_owner_that_it_would_have_alone(
    idle_since: int,
    wait: int,
    stage_began: int,
    slot_at: int,
    turn_at: int,
    windows: list[tuple[int | None, int]],
) -> None:
    start = idle_since + wait
    operands = [operand(opened, min(at, start)) for opened, at in windows]
    found = classify(idle_since, stage_began, slot_at, turn_at, operands, start)
    assert sum(totals(found).values()) == wait
    owners = [found_wait.reason for found_wait in found for _ in range(found_wait.start, found_wait.end)]
    assert owners == [owner(cycle, stage_began, slot_at, turn_at, operands) for cycle in range(idle_since, start)]


def test_the_turn_of_another_unit_is_dependency_unless_memory_is_awaited_too() -> None:
    """Waiting from 0 to 12, room at 2, transfer 4 .. 6, the turn before ends at 9: 2 full, 2 dram, 5 dependency."""
    found = classify(0, 0, 2, 9, [operand(4, 6)], 12)
    assert totals(found) == {"dependency": 5, "output_full": 2, "dram": 2, "operand": 3}


def unit_of(env: Environment) -> Unit:
    return Unit(env, UnitSpec("a unit"))


def test_a_job_starts_at_the_latest_of_slot_operand_and_previous_end() -> None:
    """Slot free at 4, operand at 7, then work for 5 of which 2 are a bank conflict: busy 3, until 12."""
    env = Environment()
    unit, buffer, token = unit_of(env), Buffer(env, "a buffer", 1), Token("an operand")
    assert buffer.take(1, "a unit") is None

    def others():
        yield env.timeout(4)
        buffer.release(1)
        yield env.timeout(3)
        token.set(7)

    job = Job("a unit", "work", NOWHERE, 5, 2, operands=(token,), space=Take(buffer))
    env.process(others())
    env.process(unit.run(iter([(job, None)])))
    env.run()
    unit.finish(20)
    (statistics,) = unit.statistics
    assert (unit.idle_since, statistics.busy_cycles) == (12, 3)
    assert {reason: count for reason, count in statistics.stall_cycles.items() if count} == {
        "output_full": 4,
        "operand": 3,
        "bank_conflict": 2,
        "drained": 8,
    }


def test_a_slot_freed_and_an_operand_made_in_the_same_cycle_cost_nothing_more() -> None:
    """n - 1 and n: released at 5, a job starts at 5; released at 6, at 6."""

    def start(release_at: int) -> int:
        env = Environment()
        unit, buffer = unit_of(env), Buffer(env, "a buffer", 1)
        assert buffer.take(1, "a unit") is None

        def holder():
            yield env.timeout(release_at)
            buffer.release(1)

        env.process(holder())
        env.process(unit.run(iter([(Job("a unit", "work", NOWHERE, 1, space=Take(buffer)), None)])))
        env.run()
        return unit.statistics[0].stall_cycles["output_full"]

    assert (start(5), start(6)) == (5, 6)


def test_an_output_may_be_there_some_cycles_after_the_unit_is_free() -> None:
    """Two jobs of 3 cycles and a lag of 4: outputs at 7 and 10, the unit free at 6."""
    env = Environment()
    unit, outputs = unit_of(env), [Token("first"), Token("second")]
    jobs = [Job("a unit", "work", NOWHERE, 3, makes=token, lag=4) for token in outputs]
    env.process(unit.run((job, None) for job in jobs))
    env.run()
    assert ([token.at for token in outputs], unit.idle_since) == ([7, 10], 6)
