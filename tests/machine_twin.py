"""The engine's slow twin: any program, one cycle after the other, written for obviousness; it shares no code with it.

At every cycle first all that ends then is ended, then every unit that can start its next job does. A cycle in which a
unit does not work is given to the first owner in `owner_of` whose condition holds in that very cycle.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from machine_programs import Program, Run, Work


@dataclass
class Engine:
    """What a unit is at."""

    open_transfers: int
    queue: list[Work] = field(default_factory=list)
    has_space: bool = False
    job: Work | None = None
    started: int = 0
    switching_until: int | None = None
    open: list[tuple[int, Work]] = field(default_factory=list)
    """(end, transfer), in the order of their starts; ended ones stay until they are the oldest."""


class Twin:
    """A program under way."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.now = 0
        self.free = list(program.buffers)
        self.readers = [readers for _, _, readers in program.shared]
        self.set_at: dict[int, int] = {}
        self.opened: dict[int, int] = {}
        self.later: list[tuple[int, int]] = []
        self.units = {name: Engine(spec.open_transfers) for name, spec in program.units.items()}
        self.stage = -1
        self.order: dict[str, list[Work]] = defaultdict(list)
        """Jobs of shared hardware that have not ended, in the order of the stream."""
        self.last: dict[str, str] = {}
        self.pays: set[int] = set()
        self.spent: dict[str, Counter[str]] = {part: Counter() for name in self.units for part in self.parts(name)}

    def parts(self, unit: str) -> tuple[str, ...]:
        return self.program.units[unit].lanes or (unit,)

    def run(self) -> Run:
        self.begin_stage()
        while True:
            self.end_what_ends()
            while self.stage_is_over():
                if self.stage == len(self.program.stages) - 1:
                    return Run(self.now, self.books())
                self.begin_stage()
            for name in self.units:
                self.start(name)
            if self.all_wait():
                return Run(None, self.books())
            for name in self.units:
                self.note_cycle(name)
            self.now += 1

    def books(self) -> dict[str, dict[str, int]]:
        return {part: {owner: count for owner, count in spent.items() if count} for part, spent in self.spent.items()}

    def begin_stage(self) -> None:
        self.stage += 1
        for work in self.program.stages[self.stage]:
            self.units[work.unit].queue.append(work)
            spec = self.program.units[work.unit]
            if spec.hardware is not None:
                self.order[spec.hardware].append(work)
                if self.last.get(spec.hardware, work.unit) != work.unit and spec.switch_cycles:
                    self.pays.add(id(work))
                self.last[spec.hardware] = work.unit

    def stage_is_over(self) -> bool:
        moving = any(end > self.now for unit in self.units.values() for end, _ in unit.open)
        coming = any(at > self.now for at, _ in self.later)
        return not moving and not coming and not any(unit.queue or unit.job for unit in self.units.values())

    def all_wait(self) -> bool:
        """Nothing is under way that could end a wait."""
        coming = any(at > self.now for at, _ in self.later)
        working = any(unit.job or unit.switching_until is not None for unit in self.units.values())
        return not coming and not working and not any(end > self.now for u in self.units.values() for end, _ in u.open)

    def end_what_ends(self) -> None:
        for token in [token for at, token in self.later if at == self.now]:
            self.set_at[token] = self.now
        for name, unit in self.units.items():
            if unit.job is not None and unit.started + unit.job.cycles == self.now:
                hardware = self.program.units[name].hardware
                if hardware is not None:
                    self.order[hardware].pop(0)
                self.hand_on(unit.job)
                unit.job = None
            for end, work in unit.open:
                if end == self.now:
                    self.hand_on(work)

    def hand_on(self, work: Work) -> None:
        for buffer, amount in work.frees:
            self.free[buffer] += amount
        for at in work.shared:
            self.readers[at] -= 1
            if self.readers[at] == 0:
                self.free[self.program.shared[at][0]] += self.program.shared[at][1]
        if work.makes is not None and work.lag == 0:
            self.set_at[work.makes] = self.now
        elif work.makes is not None:
            self.later.append((self.now + work.lag, work.makes))

    def start(self, name: str) -> None:
        unit, spec = self.units[name], self.program.units[name]
        if spec.memory is not None:
            self.start_transfers(unit)
            return
        if unit.job is not None or not unit.queue:
            return
        work = unit.queue[0]
        self.take_space(unit, work)
        if unit.switching_until is None:
            if not unit.has_space or self.missing(work) or not self.is_its_turn(work):
                return
            unit.switching_until = self.now + (spec.switch_cycles if id(work) in self.pays else 0)
        if self.now == unit.switching_until:
            unit.job, unit.started = unit.queue.pop(0), self.now
            unit.has_space, unit.switching_until = False, None

    def start_transfers(self, unit: Engine) -> None:
        while unit.queue:
            if len(unit.open) == unit.open_transfers:
                if unit.open[0][0] > self.now:
                    return
                unit.open.pop(0)
            work = unit.queue[0]
            self.take_space(unit, work)
            if not unit.has_space or self.missing(work):
                return
            unit.queue.pop(0)
            unit.has_space = False
            unit.open.append((self.now + max(1, work.num_bytes or 0), work))
            if work.makes is not None:
                self.opened[work.makes] = self.now

    def take_space(self, unit: Engine, work: Work) -> None:
        if unit.has_space:
            return
        if work.buffer is not None:
            if self.free[work.buffer] < work.amount:
                return
            self.free[work.buffer] -= work.amount
        elif work.after is not None and work.after not in self.set_at:
            return
        unit.has_space = True

    def missing(self, work: Work) -> list[int]:
        return [token for token in work.operands if token not in self.set_at]

    def is_its_turn(self, work: Work) -> bool:
        hardware = self.program.units[work.unit].hardware
        return hardware is None or self.order[hardware][0] is work

    def note_cycle(self, name: str) -> None:
        unit = self.units[name]
        if any(end > self.now for end, _ in unit.open):
            self.spent[name]["busy"] += 1
        elif unit.job is None:
            for part in self.parts(name):
                self.spent[part][self.owner_of(name)] += 1
        else:
            self.note_work(name, unit.job, self.now - unit.started)

    def note_work(self, name: str, job: Work, done: int) -> None:
        """Work first, then bank conflicts, then other lanes."""
        busy, conflict = job.lanes or ((job.cycles - job.conflict,), (job.conflict,))
        for part, used, lost in zip(self.parts(name), busy, conflict, strict=True):
            owner = "busy" if done < used else "bank_conflict" if done < used + lost else "imbalance"
            self.spent[part][owner] += 1

    def owner_of(self, name: str) -> str:
        unit = self.units[name]
        if not unit.queue:
            later = self.program.stages[self.stage + 1 :]
            return "dependency" if any(work.unit == name for works in later for work in works) else "drained"
        work = unit.queue[0]
        if not unit.has_space:
            return "output_full"
        if any(token in self.opened for token in self.missing(work) if self.being_moved(token)):
            return "dram"
        if unit.switching_until is not None or not self.is_its_turn(work):
            return "dependency"
        return "operand"

    def being_moved(self, token: int) -> bool:
        """From the start of its transfer until it is there."""
        return token in self.opened and token not in self.set_at
