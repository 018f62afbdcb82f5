"""Units, buffers and memories in one environment: the only place where they are put together and run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from simpy import Environment

from dsasim.errors import DeadlockError, DesignError
from dsasim.machine.arbiter import Arbiter, Grant
from dsasim.machine.dma import DmaEngine
from dsasim.machine.job import Job
from dsasim.machine.space import Buffer
from dsasim.machine.spec import UnitSpec, check_job
from dsasim.machine.stage import Dispatcher, Stage
from dsasim.machine.statistics import Totals
from dsasim.machine.transfer import Memory
from dsasim.machine.unit import NOTHING, Process, Unit
from dsasim.machine.watcher import Watcher


class System:
    """The units of a machine, ready to run stages."""

    def __init__(
        self,
        env: Environment,
        specs: Sequence[UnitSpec],
        memories: Mapping[str, Memory],
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.env = env
        self.specs = {spec.name: spec for spec in specs}
        for watcher in watchers:
            watcher.begin(specs)
        self.units = _units(env, specs, memories, watchers)
        self._watchers = watchers
        self._memories = memories
        self._ended_at = 0
        self.totals = Totals()
        self._arbiters = _arbiters(specs)

    def buffer(self, name: str, size: int) -> Buffer:
        """A buffer of `size` slots, bytes or pages."""
        return Buffer(self.env, name, size, self._watchers)

    def run(self, stages: Iterable[Stage]) -> int:
        """Run all stages; return the total cycles. Raises DeadlockError if no unit can proceed.

        A stage is asked for when all jobs of the one before it have ended.
        """
        whole = self.env.process(self._run_all(stages))
        self.env.run()
        if whole.is_alive:
            waits = "; ".join(
                f"{unit.name} waits for {unit.waiting_for}"
                for unit in self.units.values()
                if unit.waiting_for != NOTHING
            )
            raise DeadlockError(f"no unit can proceed at cycle {self.env.now}: {waits}")
        for unit in self.units.values():
            unit.finish(self._ended_at)
        return self._ended_at

    def _run_all(self, stages: Iterable[Stage]) -> Process:
        for stage in stages:
            for unit in self.units.values():
                unit.stage_began = int(self.env.now)
            yield self.env.all_of([self.env.process(process) for process in self._processes(stage)])
            self._ended_at = int(self.env.now)

    def _processes(self, stage: Stage) -> Iterator[Process]:
        """What each unit does in a stage, in any order."""
        dispatcher = Dispatcher(stage, self._admit)
        return (self.units[name].run(dispatcher.queue(name)) for name in stage.units)

    def _admit(self, job: Job) -> Grant | None:
        """Check and count a job that has been made; of shared hardware, its grant."""
        spec = self.specs[job.unit]
        check_job(spec, job)
        bursts = 0
        if spec.memory is not None and job.transfer is not None:
            bursts = self._memories[spec.memory].bursts(job.transfer)
        self.totals.add(job, bursts)
        arbiter = self._arbiters.get(job.unit)
        return None if arbiter is None else arbiter.grant(job.unit)


def _units(
    env: Environment, specs: Sequence[UnitSpec], memories: Mapping[str, Memory], watchers: Sequence[Watcher]
) -> dict[str, Unit]:
    """Each spec's unit; engines of one memory are its streams, in order."""
    units: dict[str, Unit] = {}
    streams: Counter[str] = Counter()
    for spec in specs:
        if spec.name in units:
            raise DesignError(f"two units are called {spec.name}")
        if spec.memory is None:
            units[spec.name] = Unit(env, spec, watchers)
        else:
            units[spec.name] = DmaEngine(env, spec, memories[spec.memory], streams[spec.memory], watchers)
            streams[spec.memory] += 1
    return units


def _arbiters(specs: Sequence[UnitSpec]) -> dict[str, Arbiter]:
    """The arbiter of each unit that names hardware; units that name the same have the same."""
    costs: dict[str, int] = {}
    for spec in specs:
        if spec.hardware is not None and costs.setdefault(spec.hardware, spec.switch_cycles) != spec.switch_cycles:
            raise DesignError(f"units of {spec.hardware} differ in their switch_cycles")
    shared = {hardware: Arbiter(cycles) for hardware, cycles in costs.items()}
    return {spec.name: shared[spec.hardware] for spec in specs if spec.hardware is not None}
