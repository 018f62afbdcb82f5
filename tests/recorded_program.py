"""A design's jobs, as the engine was given them, as a program that the engine's twin executes (`machine_twin`)."""

from collections.abc import Iterator

from machine_programs import BytesMemory, Program, Run, Work
from simpy import Environment

from dsasim.machine.job import Job
from dsasim.machine.space import Buffer, Take
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.sim.components import DRAM
from dsasim.sim.design import Design, Record, Workload
from dsasim.trace.attention import AttentionTrace


class Recorder:
    """Notes the jobs of stages as they are made."""

    def __init__(self, design: Design) -> None:
        self.program = Program({spec.name: spec for spec in design.units()}, [], [], 0, [])
        self._buffers: dict[Buffer, int] = {}
        self._tokens: dict[Token, int] = {}

    def noted(self, stages: Iterator[Stage]) -> Iterator[Stage]:
        for stage in stages:
            works: list[Work] = []
            self.program.stages.append(works)
            yield Stage(self._noted_jobs(stage, works), stage.units)

    def _noted_jobs(self, stage: Stage, works: list[Work]) -> Iterator[Job]:
        for job in stage.jobs:
            works.append(self._work(job))
            yield job

    def _work(self, job: Job) -> Work:
        work = Work(job.unit, job.cycles, job.conflict, lag=job.lag, lanes=job.lanes)
        work.operands = tuple(map(self._token, job.operands))
        if job.space is not None:
            work.buffer, work.amount = self._taken(job.space)
        work.makes = None if job.makes is None else self._token(job.makes)
        work.frees = [self._taken(space) for space in job.frees if isinstance(space, Take)]
        work.num_bytes = None if job.transfer is None else job.transfer.num_bytes
        return work

    def _token(self, token: Token) -> int:
        number = self._tokens.setdefault(token, len(self._tokens))
        self.program.num_tokens = len(self._tokens)
        return number

    def _taken(self, space: object) -> tuple[int, int]:
        assert isinstance(space, Take)
        if space.buffer not in self._buffers:
            self._buffers[space.buffer] = len(self._buffers)
            self.program.buffers.append(space.buffer.size)
        return self._buffers[space.buffer], space.amount


def recorded(design: Design, trace: AttentionTrace) -> tuple[Program, Run, System]:
    """All heads of a trace on a memory that moves a byte a cycle: the program, and what the engine made of it."""
    env, recorder = Environment(), Recorder(design)
    system = System(env, design.units(), {DRAM: BytesMemory(env)})
    workload = Workload(trace, {layer.number: range(layer.num_heads) for layer in trace})
    cycles = system.run(recorder.noted(design.stages(system, workload, Record(env))))
    spent = {
        part.name: {owner: count for owner, count in {"busy": part.busy_cycles, **part.stall_cycles}.items() if count}
        for unit in system.units.values()
        for part in unit.statistics
    }
    return recorder.program, Run(cycles, spent), system
