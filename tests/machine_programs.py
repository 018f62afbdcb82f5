"""Random job streams as plain data, and the engine's run of one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from simpy import Environment, Event

from dsasim.errors import DeadlockError
from dsasim.machine.job import NOWHERE, Job, LaneCycles
from dsasim.machine.space import After, Releasable, Shared, Space, Take
from dsasim.machine.spec import UnitSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer


@dataclass
class Work:
    """A job in numbers: of tokens, buffers and cycles; `amount` of a buffer, or of token `after` as the space."""

    unit: str
    cycles: int
    conflict: int = 0
    operands: tuple[int, ...] = ()
    buffer: int | None = None
    amount: int = 0
    after: int | None = None
    makes: int | None = None
    lag: int = 0
    frees: list[tuple[int, int]] = field(default_factory=list)
    """(buffer, amount), given back at the job's end."""
    shared: list[int] = field(default_factory=list)
    """Shared releases of which the job is a reader."""
    lanes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    num_bytes: int | None = None


@dataclass
class Program:
    """Units, buffers and stages of jobs; several chips, each with a memory (`BytesMemory`)."""

    units: dict[str, UnitSpec]
    buffers: list[int]
    shared: list[tuple[int, int, int]]
    """(buffer, amount, readers)."""
    num_tokens: int
    stages: list[list[Work]]


@dataclass
class Run:
    """Total cycles, or None if the units wait for each other; cycles of each unit or lane by owner."""

    cycles: int | None
    spent: dict[str, dict[str, int]]


def random_program(rng: Random) -> Program:
    """Two chips at most, coupled units, lanes, engines, slots and amounts; now and then it cannot end."""
    units = _units(rng)
    program = Program(units, [], [], 0, [])
    taker: dict[str, list[int]] = {name: [] for name in units}
    for name in units:
        for _ in range(rng.randint(0, 2)):
            taker[name].append(len(program.buffers))
            program.buffers.append(rng.choice([2, 3, 8, 16, 16]))
    for _ in range(rng.randint(1, 3)):
        taking = rng.sample(sorted(units), rng.randint(1, len(units)))
        program.stages.append(_stage(rng, program, [units[name] for name in taking], taker))
    return program


def _units(rng: Random) -> dict[str, UnitSpec]:
    specs = []
    for chip in range(rng.randint(1, 2)):
        switch = rng.choice([0, 3])
        for at in range(rng.randint(1, 4)):
            lanes = tuple(f"c{chip}u{at}lane{lane}" for lane in range(rng.choice([0, 0, 0, 2])))
            shares = rng.random() < 0.4
            hardware = f"array {chip}" if shares else None
            specs.append(UnitSpec(f"c{chip}u{at}", lanes, hardware, switch if shares else 0))
        engines = range(rng.randint(1, 3))
        specs += [
            UnitSpec(f"c{chip}dma{at}", memory=f"memory {chip}", open_transfers=rng.randint(1, 3)) for at in engines
        ]
    return {spec.name: spec for spec in specs}


def _stage(rng: Random, program: Program, specs: list[UnitSpec], taker: dict[str, list[int]]) -> list[Work]:
    """Jobs whose operands come before them; space that a job takes is given back by readers of what it made."""
    works: list[Work] = []
    for _ in range(rng.randint(1, 25)):
        spec = rng.choice(specs)
        work = _work(rng, spec)
        made = [earlier.makes for earlier in works if earlier.makes is not None]
        work.operands = tuple(rng.sample(made[-8:], min(len(made[-8:]), rng.choice([0, 1, 1, 2]))))
        if taker[spec.name] and rng.random() < 0.6:
            work.buffer = rng.choice(taker[spec.name])
            work.amount = rng.randint(1, -(-program.buffers[work.buffer] // 3))
        elif made and rng.random() < 0.1:
            work.after = rng.choice(made)
        if work.buffer is not None or rng.random() < 0.7:
            work.makes, program.num_tokens = program.num_tokens, program.num_tokens + 1
            work.lag = rng.choice([0, 0, 0, 4])
        works.append(work)
    for at, work in enumerate(works):
        if work.buffer is not None:
            _give_back(rng, program, work, works[at + 1 : at + 4])
    return works


def _give_back(rng: Random, program: Program, work: Work, followers: list[Work]) -> None:
    """By the job itself, by a later one that reads what it made, or by the last of two."""
    assert work.buffer is not None and work.makes is not None
    readers = rng.sample(followers, min(len(followers), rng.choice([1, 1, 2])))
    for reader in readers:
        reader.operands = (*(token for token in reader.operands if token != work.makes), work.makes)
    if len(readers) < 2:
        (readers or [work])[0].frees.append((work.buffer, work.amount))
        return
    for reader in readers:
        reader.shared.append(len(program.shared))
    program.shared.append((work.buffer, work.amount, len(readers)))


def _work(rng: Random, spec: UnitSpec) -> Work:
    if spec.memory is not None:
        return Work(spec.name, 0, num_bytes=rng.choice([0, 1, 5, 17, 30]))
    cycles = rng.randint(1, 12)
    if not spec.lanes:
        return Work(spec.name, cycles, conflict=rng.randint(0, cycles))
    busy = tuple(rng.randint(0, cycles) for _ in spec.lanes)
    return Work(spec.name, cycles, lanes=(busy, tuple(rng.randint(0, cycles - used) for used in busy)))


class BytesMemory:
    """A transfer takes as many cycles as it has bytes, whatever else is under way."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def post(self, _stream: int, transfer: Transfer) -> Event:
        return self._env.timeout(transfer.num_bytes)

    def bursts(self, transfer: Transfer) -> int:
        return transfer.num_bytes


def run_engine(program: Program, rng: Random | None = None) -> Run:
    """The engine's run; `rng`: its processes are made in another order, and other events are on its calendar."""
    env = Environment()
    specs = list(program.units.values())
    memories = {spec.memory: BytesMemory(env) for spec in specs if spec.memory is not None}
    system = System(env, specs, memories)
    if rng is not None:
        for _ in range(10):
            env.timeout(rng.randint(0, 300))
    try:
        cycles: int | None = system.run(_stages(program, system, rng))
    except DeadlockError:
        cycles = None
    spent = {}
    for unit in system.units.values():
        for part in unit.statistics:
            owners = {"busy": part.busy_cycles, **part.stall_cycles}
            spent[part.name] = {owner: count for owner, count in owners.items() if count}
    return Run(cycles, spent)


def _stages(program: Program, system: System, rng: Random | None) -> Iterator[Stage]:
    buffers = [system.buffer(f"buffer {at}", size) for at, size in enumerate(program.buffers)]
    shared = [Shared(Take(buffers[buffer], amount), readers) for buffer, amount, readers in program.shared]
    tokens = [Token(f"token {at}") for at in range(program.num_tokens)]
    for works in program.stages:
        names = sorted({work.unit for work in works})
        if rng is not None:
            rng.shuffle(names)

        def jobs(works: list[Work] = works) -> Iterator[Job]:
            for work in works:
                space: Space | None = None if work.buffer is None else Take(buffers[work.buffer], work.amount)
                if work.after is not None:
                    space = After(tokens[work.after], "another job's place")
                frees: list[Releasable] = [Take(buffers[buffer], amount) for buffer, amount in work.frees]
                yield Job(
                    work.unit,
                    "work",
                    NOWHERE,
                    work.cycles,
                    work.conflict,
                    operands=[tokens[at] for at in work.operands],
                    space=space,
                    makes=None if work.makes is None else tokens[work.makes],
                    frees=[*frees, *(shared[at] for at in work.shared)],
                    lanes=None if work.lanes is None else LaneCycles(*work.lanes),
                    transfer=None if work.num_bytes is None else Transfer.run(False, 0, work.num_bytes),
                    lag=work.lag,
                )

        yield Stage(jobs(), names)
