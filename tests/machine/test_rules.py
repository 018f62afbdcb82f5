"""What the engine refuses, and what it does with space, streams and several units."""

from collections.abc import Iterator

import pytest
from simpy import Environment

from dsasim.errors import DesignError
from dsasim.machine.job import NOWHERE, Job, LaneCycles, Place
from dsasim.machine.space import Buffer, Shared, Take
from dsasim.machine.spec import UnitSpec
from dsasim.machine.stage import NoMore, Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer


def system_of(*specs: UnitSpec) -> System:
    return System(Environment(), specs, {})


def test_two_takers_of_a_buffer_are_refused() -> None:
    """The first to arrive would win, and cycles would depend on the order of simultaneous events."""
    system = system_of(UnitSpec("a"), UnitSpec("b"))
    buffer = system.buffer("the buffer", 2)
    jobs = [Job(unit, "work", NOWHERE, 1, space=Take(buffer)) for unit in "ab"]
    with pytest.raises(DesignError, match="the buffer: both a and b take space"):
        system.run([Stage(jobs, "ab")])


def test_more_than_a_buffer_holds_is_refused_where_it_is_declared() -> None:
    buffer = Buffer(Environment(), "the buffer", 4)
    Take(buffer, 4)
    with pytest.raises(DesignError, match="the buffer: 5 are wanted of a buffer of 4"):
        Take(buffer, 5)


def test_more_given_back_than_taken_is_refused() -> None:
    with pytest.raises(DesignError, match="more is given back"):
        Take(Buffer(Environment(), "the buffer", 4)).release()


def test_takers_do_not_overtake() -> None:
    """Of 10, 8 are taken; 4 wait although 2 are free, and so do 2 behind them."""
    buffer = Buffer(Environment(), "the buffer", 10)
    assert buffer.take(8, "a") is None
    large, small = buffer.take(4, "a"), buffer.take(2, "a")
    assert large is not None and small is not None
    buffer.release(1)
    assert not large.triggered and not small.triggered
    buffer.release(7)
    assert large.triggered and small.triggered
    assert buffer.free == 4


def test_the_last_of_several_readers_gives_back() -> None:
    buffer = Buffer(Environment(), "the buffer", 1)
    buffer.take(1, "a")
    shared = Shared(Take(buffer), 2)
    shared.release()
    assert buffer.free == 0
    shared.release()
    assert buffer.free == 1


@pytest.mark.parametrize(
    ("spec", "job", "words"),
    [
        (UnitSpec("a"), Job("b", "work", Place(3), 1), "a job of b .work layer 3. in a stage that does not name it"),
        (UnitSpec("a"), Job("a", "work", NOWHERE, 0), "a job takes at least one cycle, not 0"),
        (UnitSpec("a"), Job("a", "work", NOWHERE, 1, transfer=Transfer.run(False, 0, 1)), "only jobs of DMA engines"),
        (UnitSpec("a", ("l",)), Job("a", "work", NOWHERE, 1), "a has 1 lanes"),
        (UnitSpec("a"), Job("a", "work", NOWHERE, 1, lanes=LaneCycles((1,), (0,))), "a has 0 lanes"),
    ],
)
def test_a_job_that_its_unit_cannot_do_is_refused(spec: UnitSpec, job: Job, words: str) -> None:
    with pytest.raises(DesignError, match=words):
        system_of(spec).run([Stage([job], ["a"])])


def test_names_are_told_apart_and_shared_hardware_has_one_cost() -> None:
    with pytest.raises(DesignError, match="two units are called a"):
        system_of(UnitSpec("a"), UnitSpec("a"))
    with pytest.raises(DesignError, match="units of the array differ in their switch_cycles"):
        system_of(UnitSpec("a", hardware="the array", switch_cycles=1), UnitSpec("b", hardware="the array"))


def test_jobs_are_made_when_they_are_wanted() -> None:
    """A unit has one job under way and asks for the next when that has ended: two are ahead of time at most."""
    system = system_of(UnitSpec("a"), UnitSpec("b"))
    ends: list[Token] = []
    ahead = []

    def jobs() -> Iterator[Job]:
        for at in range(100):
            ahead.append(at - sum(token.at is not None for token in ends))
            made = Token("a's")
            yield Job("a", "work", NOWHERE, 1, makes=made)
            ends.append(Token("b's"))
            yield Job("b", "work", NOWHERE, 1, operands=(made,), makes=ends[-1])

    assert system.run([Stage(jobs(), "ab")]) == 101
    assert max(ahead) == 2


@pytest.mark.parametrize("told", [True, False])
def test_a_unit_that_has_no_more_jobs_does_not_look_for_one(told: bool) -> None:
    """One job of a, then a hundred of b: untold, a makes the stream run to its end when its job has ended."""
    system = system_of(UnitSpec("a"), UnitSpec("b"))
    ends: list[Token] = []
    ahead = []

    def jobs() -> Iterator[Job | NoMore]:
        yield Job("a", "work", NOWHERE, 1)
        if told:
            yield NoMore("a")
        for at in range(100):
            ahead.append(at - sum(token.at is not None for token in ends))
            ends.append(Token("b's"))
            yield Job("b", "work", NOWHERE, 1, makes=ends[-1])

    assert system.run([Stage(jobs(), "ab")]) == 100
    assert max(ahead) == (0 if told else 99)


def test_a_job_after_the_last_is_refused() -> None:
    stream = [NoMore("a"), Job("b", "work", NOWHERE, 1), Job("a", "work", NOWHERE, 1), Job("b", "work", NOWHERE, 1)]
    with pytest.raises(DesignError, match=r"a job of a .work . in a stage that does not name it, or no more"):
        system_of(UnitSpec("a"), UnitSpec("b")).run([Stage(stream, "ab")])


def test_a_stage_begins_when_the_one_before_has_ended_and_its_outputs_are_there() -> None:
    """5 cycles and a lag of 2, then 1: the second stage begins at 7; its unit waited for it."""
    system = system_of(UnitSpec("a"), UnitSpec("b"))
    first = Job("a", "work", NOWHERE, 5, makes=Token("late"), lag=2)
    assert system.run([Stage([first], "a"), Stage([Job("b", "work", NOWHERE, 1)], "b")]) == 8
    assert system.units["b"].statistics[0].stall_cycles["dependency"] == 7
