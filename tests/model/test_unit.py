"""Who owns an idle cycle: the worked example, and a twin that asks of each cycle which reason holds first."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from simpy import Environment

from dsasim.model.operands import Ready, Slots
from dsasim.model.probe import Name
from dsasim.model.unit import Unit
from dsasim.model.waits import Wait, classify


def operand(opened: int | None, at: int) -> Ready:
    ready = Ready(Environment(), "an operand")
    ready.opened, ready.at = opened, at
    return ready


def owner(cycle: int, layer_began: int, slot_at: int, turn_at: int, operands: list[Ready]) -> str:
    if cycle < layer_began:
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


def test_waiting_for_the_layer_is_dependency_before_all_else() -> None:
    found = classify(5, 20, 30, 0, [operand(0, 40)], 40)
    assert found == [Wait("dependency", 5, 20), Wait("output_full", 20, 30), Wait("dram", 30, 40)]


@given(
    idle_since=st.integers(0, 30),
    wait=st.integers(0, 30),
    layer_began=st.integers(0, 60),
    slot_at=st.integers(0, 60),
    turn_at=st.integers(0, 60),
    windows=st.lists(st.tuples(st.none() | st.integers(0, 60), st.integers(0, 60)), max_size=4),
)
def test_every_cycle_has_the_owner_that_it_would_have_alone(
    idle_since: int,
    wait: int,
    layer_began: int,
    slot_at: int,
    turn_at: int,
    windows: list[tuple[int | None, int]],
) -> None:
    start = idle_since + wait
    operands = [operand(opened, min(at, start)) for opened, at in windows]
    found = classify(idle_since, layer_began, slot_at, turn_at, operands, start)
    assert sum(totals(found).values()) == wait
    owners = [found_wait.reason for found_wait in found for _ in range(found_wait.start, found_wait.end)]
    assert owners == [owner(cycle, layer_began, slot_at, turn_at, operands) for cycle in range(idle_since, start)]


def test_the_turn_of_another_unit_is_dependency_unless_memory_is_awaited_too() -> None:
    """Waiting from 0 to 12, room at 2, transfer 4 .. 6, the turn before ends at 9: 2 full, 2 dram, 5 dependency."""
    found = classify(0, 0, 2, 9, [operand(4, 6)], 12)
    assert totals(found) == {"dependency": 5, "output_full": 2, "dram": 2, "operand": 3}


def test_a_job_starts_at_the_latest_of_slot_operand_and_previous_end() -> None:
    """Slot free at 4, operand at 7, then work for 5 of which 2 are a bank conflict: busy 3, until 12."""
    env = Environment()
    unit, slots, ready = Unit(env, "a unit"), Slots(env, "a buffer", 1), Ready(env, "an operand")

    def others():
        yield slots.reserve()
        yield env.timeout(4)
        slots.release()
        yield env.timeout(3)
        ready.set()

    def job():
        yield from unit.wait([ready], slots)
        yield from unit.work(Name("work", "here"), 5, 2)

    env.process(others())
    env.process(job())
    env.run()
    unit.finish(20)
    assert (unit.idle_since, unit.busy_cycles, ready.at) == (12, 3, 7)
    assert {reason: count for reason, count in unit.stall_cycles.items() if count} == {
        "output_full": 4,
        "operand": 3,
        "bank_conflict": 2,
        "drained": 8,
    }


def test_a_slot_freed_and_an_operand_made_in_the_same_cycle_cost_nothing_more() -> None:
    """n - 1 and n: released at 5, a job reserves at 5; released at 6, at 6."""

    def start(release_at: int) -> int:
        env = Environment()
        unit, slots = Unit(env, "a unit"), Slots(env, "a buffer", 1)

        def holder():
            yield slots.reserve()
            yield env.timeout(release_at)
            slots.release()

        env.process(holder())
        env.process(unit.wait([], slots))
        env.run()
        return unit.stall_cycles["output_full"]

    assert (start(5), start(6)) == (5, 6)
