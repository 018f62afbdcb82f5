"""Multi-objective search by optuna (extra `sweep`): ask for a generation, run it, tell what came of it.

The sampler is seeded and told in order, so a search is a function of its seed and the results: resumed, it asks for the
same points again and finds them in the results file. No other state is kept.
"""

import math
from collections.abc import Generator, Mapping
from typing import Any

from dsasim.errors import ConfigError
from dsasim.sweep.spec import Strategy, SweepSpec

POPULATION = 20
"""Points of a generation."""

MAX_STALE = 50
"""Generations without a new point before the search gives up: the space is exhausted, or nearly."""


def search(
    spec: SweepSpec, lengths: tuple[int, ...], strategy: Strategy
) -> Generator[list[int], Mapping[int, tuple[float, ...]], None]:
    """Yield generations of point numbers until `num_points` different ones were asked for.

    `lengths` are those of the axes; there is one trace. A point that did not run, or broke a constraint, is told as
    failed. Objectives above 0 are told as logarithms: a halving counts the same everywhere.
    """
    study, distributions = _study(spec, lengths, strategy)
    known: dict[int, tuple[float, ...]] = {}
    asked: dict[int, None] = {}
    stale = 0
    wanted = min(strategy.num_points or 0, math.prod(lengths))
    while len(asked) < wanted and stale < MAX_STALE:
        trials = [study.ask(distributions) for _ in range(POPULATION)]
        numbers = [_number(trial.params, lengths) for trial in trials]
        fresh = [number for number in dict.fromkeys(numbers) if number not in asked][: wanted - len(asked)]
        stale = 0 if fresh else stale + 1
        asked |= dict.fromkeys(fresh)
        if fresh:
            known |= yield fresh
        for trial, number in zip(trials, numbers, strict=True):
            if number in known:
                study.tell(trial, [_scaled(value) for value in known[number]])
            else:
                study.tell(trial, state=_failed())


def _study(spec: SweepSpec, lengths: tuple[int, ...], strategy: Strategy) -> tuple[Any, Mapping[str, Any]]:
    try:
        import optuna
    except ImportError:
        raise ConfigError(f"strategy {strategy.method} needs the extra sweep: pip install 'dsasim[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if strategy.method == "nsga2":
        sampler: Any = optuna.samplers.NSGAIISampler(seed=strategy.seed, population_size=POPULATION)
    else:
        sampler = optuna.samplers.TPESampler(seed=strategy.seed, n_startup_trials=POPULATION)
    directions = ["minimize" if metric.sense == "min" else "maximize" for metric in spec.objectives]
    distributions = {str(at): optuna.distributions.IntDistribution(0, length - 1) for at, length in enumerate(lengths)}
    return optuna.create_study(directions=directions, sampler=sampler), distributions


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _number(indices: Mapping[str, int], lengths: tuple[int, ...]) -> int:
    """The point of one value an axis, as `Space` numbers them: indices (1, 2) of lengths (2, 3) are 5."""
    number = 0
    for at, length in enumerate(lengths):
        number = number * length + indices[str(at)]
    return number


def _scaled(value: float) -> float:
    return math.log(value) if value > 0 else value
