"""The engine and its cycle-stepped twin agree on any program: total, and every owner of every cycle of every unit."""

from random import Random

import pytest
from machine_programs import random_program, run_engine
from machine_twin import Twin

PROGRAMS, A_TEST = 500, 50


@pytest.mark.parametrize("first", range(0, PROGRAMS, A_TEST))
def test_engine_and_twin_agree(first: int) -> None:
    for seed in range(first, first + A_TEST):
        program = random_program(Random(seed))
        engine, twin = run_engine(program), Twin(program).run()
        assert engine.cycles == twin.cycles, seed
        if engine.cycles is not None:
            assert engine.spent == twin.spent, seed


def test_neither_order_of_processes_nor_other_events_change_anything() -> None:
    for seed in range(100):
        program = random_program(Random(seed))
        assert run_engine(program, Random(seed)) == run_engine(program), seed


def test_most_programs_end_and_meet_every_owner() -> None:
    """Or the comparison would be of little."""
    runs = [run_engine(random_program(Random(seed))) for seed in range(PROGRAMS)]
    ended = [run for run in runs if run.cycles is not None]
    assert PROGRAMS * 0.8 < len(ended) < PROGRAMS
    owners = {owner for run in ended for spent in run.spent.values() for owner in spent}
    assert owners == {"busy", "bank_conflict", "imbalance", "output_full", "dram", "dependency", "operand", "drained"}
