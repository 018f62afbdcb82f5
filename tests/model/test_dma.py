"""DMA engines: one and several open transfers, slots, operands and transfers of nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from simpy import Environment

from dsasim.model.dma import DmaEngine, DmaJob
from dsasim.model.dram import Transfer
from dsasim.model.operands import Ready, Slots

LATENCY = 10


def reads(env: Environment, sizes: list[int], **fields: Any) -> list[DmaJob]:
    return [
        DmaJob(Transfer.run(False, 0, size), arrived=Ready(env, f"part {at}"), **fields)
        for at, size in enumerate(sizes)
    ]


def engine(env: Environment, memory: Any, open_transfers: int) -> DmaEngine:
    return DmaEngine(env, "dma", 3, memory, open_transfers)


@pytest.mark.parametrize(
    ("open_transfers", "posted"),
    [(1, [0, 10, 20, 30, 40]), (2, [0, 0, 10, 10, 20]), (4, [0, 0, 0, 0, 10]), (5, [0] * 5), (6, [0] * 5)],
)
def test_a_transfer_starts_when_the_one_that_many_before_has_ended(
    fixed_memory: Callable[..., Any], open_transfers: int, posted: list[int]
) -> None:
    env = Environment()
    memory = fixed_memory(env, LATENCY)
    dma, jobs = engine(env, memory, open_transfers), reads(env, [64] * 5)
    env.process(dma.run(jobs))
    env.run()
    assert memory.posts == [(cycle, 3, 64) for cycle in posted]
    assert [job.arrived.opened for job in jobs] == posted
    assert [job.arrived.at for job in jobs] == [cycle + LATENCY for cycle in posted]
    assert dma.busy_cycles == posted[-1] + LATENCY
    assert sum(dma.stall_cycles.values()) == 0


def test_a_transfer_of_nothing_posts_nothing_and_takes_one_cycle(fixed_memory: Callable[..., Any]) -> None:
    env = Environment()
    memory = fixed_memory(env, LATENCY)
    dma, jobs = engine(env, memory, 1), reads(env, [0, 64, 0])
    env.process(dma.run(jobs))
    env.run()
    assert memory.posts == [(1, 3, 64)]
    assert [job.arrived.at for job in jobs] == [1, 11, 12]
    assert dma.busy_cycles == 12


def test_a_read_waits_for_its_slot(fixed_memory: Callable[..., Any]) -> None:
    """One slot, freed 3 cycles after each arrival: cycles without an open transfer are output_full."""
    env = Environment()
    slots = Slots(env, "a buffer", 1)
    dma, jobs = engine(env, fixed_memory(env, LATENCY), 4), reads(env, [64] * 3, reserve=slots)

    def reader() -> Any:
        for job in jobs:
            yield job.arrived.event
            yield env.timeout(3)
            slots.release()

    env.process(dma.run(jobs))
    env.process(reader())
    env.run()
    assert [job.arrived.opened for job in jobs] == [0, 13, 26]
    assert (dma.busy_cycles, dma.stall_cycles["output_full"]) == (30, 6)


def test_a_write_waits_for_its_operand_and_frees_its_slot_at_the_end(fixed_memory: Callable[..., Any]) -> None:
    env = Environment()
    slots, made = Slots(env, "a buffer", 1), Ready(env, "an output")
    dma = engine(env, fixed_memory(env, LATENCY), 1)
    freed = []

    def maker() -> Any:
        yield slots.reserve()
        yield env.timeout(7)
        made.set()
        yield slots.reserve()
        freed.append(env.now)

    env.process(maker())
    env.process(dma.run([DmaJob(Transfer.run(True, 0, 64), operand=made, release=slots)]))
    env.run()
    assert freed == [17]
    assert (dma.busy_cycles, dma.stall_cycles["operand"]) == (10, 7)


def test_an_engine_whose_transfers_have_ended_waits_for_nothing(fixed_memory: Callable[..., Any]) -> None:
    env = Environment()
    dma = engine(env, fixed_memory(env, LATENCY), 2)
    env.process(dma.run(reads(env, [64] * 3)))
    env.run(until=5)
    assert dma.waiting_for == "its oldest transfer"
    env.run()
    assert dma.waiting_for == "nothing"
