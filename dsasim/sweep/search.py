"""Multi-objective search by optuna (extra `sweep`): ask for a generation, run it, tell what came of it.

The sampler is seeded and told in order, so a search is a function of its seed and the results: resumed, it asks for the
same points again and finds them in the results file. No other state is kept.
"""

import math
import random
import warnings
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeAlias

from dsasim.errors import ConfigError
from dsasim.sweep.spec import Strategy, SweepSpec

POPULATION = 20
"""Points of a generation."""

MAX_STALE = 50
"""Generations without a new point before NSGA-II gives up: the space is exhausted, or nearly."""

Indices: TypeAlias = tuple[int, ...]
"""Which value of each axis a point has."""

Found: TypeAlias = Mapping[int, tuple[float, ...]]
"""The objectives of the points that ran and broke no constraint."""

Search: TypeAlias = Generator[list[int], Found, None]


def search(spec: SweepSpec, lengths: Indices, strategy: Strategy) -> Search:
    """Yield generations of point numbers until `num_points` different ones were asked for.

    `lengths` are those of the axes; there is one trace. A point that did not run, or broke a constraint, is told as
    failed. Objectives above 0 are told as logarithms: a halving counts the same everywhere.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError(f"strategy {strategy.method} needs the extra sweep: pip install 'dsasim[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if strategy.method == "nsga2":
        sampler: Any = optuna.samplers.NSGAIISampler(seed=strategy.seed, population_size=POPULATION)
    else:
        with warnings.catch_warnings():  # optuna 4 calls the liar experimental
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=strategy.seed, n_startup_trials=POPULATION, constant_liar=True)
    directions = ["minimize" if metric.sense == "min" else "maximize" for metric in spec.objectives]
    study = optuna.create_study(directions=directions, sampler=sampler)
    axes = {str(at): optuna.distributions.IntDistribution(0, length - 1) for at, length in enumerate(lengths)}
    wanted = min(strategy.num_points or 0, math.prod(lengths))
    if strategy.method == "nsga2":
        return _evolve(study, axes, lengths, wanted)
    return _model(study, axes, lengths, wanted, random.Random(strategy.seed))  # noqa: S311 (not for secrets)


def _evolve(study: Any, axes: Mapping[str, Any], lengths: Indices, wanted: int) -> Search:
    """NSGA-II: a child that equals a point run before is told its objectives again, and lives on in the population."""
    known: dict[int, tuple[float, ...]] = {}
    asked: dict[int, None] = {}
    stale = 0
    while len(asked) < wanted and stale < MAX_STALE:
        trials = [study.ask(axes) for _ in range(POPULATION)]
        numbers = [_number(_indices(trial, lengths), lengths) for trial in trials]
        fresh = [number for number in dict.fromkeys(numbers) if number not in asked][: wanted - len(asked)]
        stale = 0 if fresh else stale + 1
        asked |= dict.fromkeys(fresh)
        if fresh:
            known |= yield fresh
        for trial, number in zip(trials, numbers, strict=True):
            if number in known:
                study.tell(trial, _scaled(known[number]))
            else:
                study.tell(trial, state=_failed())


def _model(study: Any, axes: Mapping[str, Any], lengths: Indices, wanted: int, source: random.Random) -> Search:
    """TPE: asked for a point again, the nearest new one is run in its place.

    TPE wants to be near what is good, and in a space of a few values an axis that is soon where it has been: without
    this it asked 1,600 times and more for 200 points, and its model, which grows with each, took minutes.
    """
    from optuna.trial import create_trial

    asked: set[int] = set()
    while len(asked) < wanted:
        # all are asked for before any is told: the sampler keeps away from those that are under way
        trials = [study.ask(axes) for _ in range(min(POPULATION, wanted - len(asked)))]
        points: list[Indices] = []
        for trial in trials:
            points.append(_nearest_new(_indices(trial, lengths), lengths, asked, source))
            asked.add(_number(points[-1], lengths))
            study.tell(trial, state=_failed())  # the point that is run is told below
        found = yield [_number(point, lengths) for point in points]
        for point in points:
            if (number := _number(point, lengths)) in found:
                parameters = {str(at): index for at, index in enumerate(point)}
                study.add_trial(create_trial(params=parameters, distributions=axes, values=_scaled(found[number])))


def _nearest_new(start: Indices, lengths: Indices, asked: set[int], source: random.Random) -> Indices:
    """Return the point not asked for that is the fewest steps along the axes away, one of them by chance.

    Worked example: of lengths (3, 3), from (0, 0) with (0, 0) and (0, 1) asked for, it is (1, 0).
    """
    ring, met = [start], {start}
    while True:
        if fresh := [point for point in ring if _number(point, lengths) not in asked]:
            return source.choice(fresh)
        ring = list(dict.fromkeys(near for point in ring for near in _beside(point, lengths) if near not in met))
        met.update(ring)


def _beside(point: Indices, lengths: Indices) -> list[Indices]:
    """The points one step along one axis away."""
    return [
        (*point[:at], index, *point[at + 1 :])
        for at, length in enumerate(lengths)
        for index in (point[at] - 1, point[at] + 1)
        if 0 <= index < length
    ]


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _indices(trial: Any, lengths: Indices) -> Indices:
    return tuple(trial.params[str(at)] for at in range(len(lengths)))


def _number(indices: Indices, lengths: Indices) -> int:
    """The point of one value an axis, as `Space` numbers them: indices (1, 2) of lengths (2, 3) are 5."""
    number = 0
    for index, length in zip(indices, lengths, strict=True):
        number = number * length + index
    return number


def _scaled(values: Sequence[float]) -> list[float]:
    return [math.log(value) if value > 0 else value for value in values]
