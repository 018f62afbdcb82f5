"""DMA engines: one and several open transfers, slots, operands and transfers of nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from simpy import Environment

from dsasim.machine.dma import DmaEngine
from dsasim.machine.job import NOWHERE, Job
from dsasim.machine.space import Buffer, Take
from dsasim.machine.spec import UnitSpec
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer

LATENCY = 10


def reads(sizes: Sequence[int], **fields: Any) -> list[Job]:
    return [
        Job("dma", "move", NOWHERE, makes=Token(f"part {at}"), transfer=Transfer.run(False, 0, size), **fields)
        for at, size in enumerate(sizes)
    ]


def engine(env: Environment, memory: Any, open_transfers: int) -> DmaEngine:
    return DmaEngine(env, UnitSpec("dma", memory="dram", open_transfers=open_transfers), memory, stream=3)


def start(env: Environment, dma: DmaEngine, jobs: Sequence[Job]) -> None:
    env.process(dma.run((job, None) for job in jobs))


@pytest.mark.parametrize(
    ("open_transfers", "posted"),
    [(1, [0, 10, 20, 30, 40]), (2, [0, 0, 10, 10, 20]), (4, [0, 0, 0, 0, 10]), (5, [0] * 5), (6, [0] * 5)],
)
def test_a_transfer_starts_when_the_one_that_many_before_has_ended(
    fixed_memory: Callable[..., Any], open_transfers: int, posted: list[int]
) -> None:
    env = Environment()
    memory = fixed_memory(env, LATENCY)
    dma, jobs = engine(env, memory, open_transfers), reads([64] * 5)
    start(env, dma, jobs)
    env.run()
    assert memory.posts == [(cycle, 3, 64) for cycle in posted]
    assert [job.makes.opened for job in jobs] == posted
    assert [job.makes.at for job in jobs] == [cycle + LATENCY for cycle in posted]
    assert dma.statistics[0].busy_cycles == posted[-1] + LATENCY
    assert sum(dma.statistics[0].stall_cycles.values()) == 0


def test_a_transfer_of_nothing_posts_nothing_and_takes_one_cycle(fixed_memory: Callable[..., Any]) -> None:
    env = Environment()
    memory = fixed_memory(env, LATENCY)
    dma, jobs = engine(env, memory, 1), reads([0, 64, 0])
    start(env, dma, jobs)
    env.run()
    assert memory.posts == [(1, 3, 64)]
    assert [job.makes.at for job in jobs] == [1, 11, 12]
    assert dma.statistics[0].busy_cycles == 12


def test_a_read_waits_for_its_slot(fixed_memory: Callable[..., Any]) -> None:
    """One slot, freed 3 cycles after each arrival: cycles without an open transfer are output_full."""
    env = Environment()
    buffer = Buffer(env, "a buffer", 1)
    dma, jobs = engine(env, fixed_memory(env, LATENCY), 4), reads([64] * 3, space=Take(buffer))

    def reader() -> Any:
        for job in jobs:
            yield job.makes.wait(env)
            yield env.timeout(3)
            buffer.release(1)

    start(env, dma, jobs)
    env.process(reader())
    env.run()
    assert [job.makes.opened for job in jobs] == [0, 13, 26]
    assert (dma.statistics[0].busy_cycles, dma.statistics[0].stall_cycles["output_full"]) == (30, 6)


def test_a_write_waits_for_its_operand_and_frees_its_slot_at_the_end(fixed_memory: Callable[..., Any]) -> None:
    env = Environment()
    buffer, made = Buffer(env, "a buffer", 1), Token("an output")
    dma = engine(env, fixed_memory(env, LATENCY), 1)
    freed = []

    def maker() -> Any:
        assert buffer.take(1, "maker") is None
        yield env.timeout(7)
        made.set(7)
        yield buffer.take(1, "maker")
        freed.append(env.now)

    env.process(maker())
    write = Job("dma", "move", NOWHERE, operands=(made,), frees=(Take(buffer),), transfer=Transfer.run(True, 0, 64))
    start(env, dma, [write])
    env.run()
    assert freed == [17]
    assert (dma.statistics[0].busy_cycles, dma.statistics[0].stall_cycles["operand"]) == (10, 7)


def test_an_engine_whose_transfers_have_ended_waits_for_nothing(fixed_memory: Callable[..., Any]) -> None:
    env = Environment()
    dma = engine(env, fixed_memory(env, LATENCY), 2)
    start(env, dma, reads([64] * 3))
    env.run(until=5)
    assert dma.waiting_for == "its oldest transfer"
    env.run()
    assert dma.waiting_for == "nothing"
