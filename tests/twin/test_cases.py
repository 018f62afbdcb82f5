"""The random cases of the twin leave out no choice of the schema that may change time."""

from collections import defaultdict
from random import Random
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from dsasim.config.schema import ArchConfig, Named
from twin.cases import METHODS, random_case

TIMELESS = ("design", "name", "technology_nm", "cost")
"""Keys of names, energy and area."""
NOT_OF_THAT_BUFFER = [f"buffers.{name}.residency" for name in ("q", "predictor", "mask", "score", "output")]
"""Only K and V may be pools."""

NOT_IN_TWIN = {"oracle_topk", "oracle_threshold"}
"""The twin draws them both as `oracle`."""


def keys_of(section: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of a design, with what it may hold."""
    found = {}
    for name, field in section.model_fields.items():
        inner = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)]
        models = [t for t in inner if issubclass(t, BaseModel)]
        path = prefix + name
        named = next((one for one in field.metadata if isinstance(one, Named)), None)
        found |= keys_of(models[0], path + ".") if models else {path: named or field.annotation}
    return {path: holds for path, holds in found.items() if not path.startswith(TIMELESS)}


def choices_of(holds: Any) -> set[Any]:
    """The values of a choice."""
    if isinstance(holds, Named):
        return set(holds.choices) - NOT_IN_TWIN
    if get_origin(holds) is None and holds is not bool:
        return set()
    if holds is bool:
        return {True, False}
    literals = [holds, *get_args(holds)]
    return {value for one in literals if "Literal" in str(get_origin(one)) for value in get_args(one)}


def test_every_key_and_every_choice_is_drawn() -> None:
    drawn: dict[str, set[Any]] = defaultdict(set)
    scopes, batches = set(), set()
    for seed in range(400):
        case = random_case(Random(seed), METHODS[seed % len(METHODS)])
        scopes.add(case["scope"])
        batches.add((case["scope"], 1 + len(case["layers"][0].get("batch", []))))
        for path, value in case["design"].items():
            drawn[path].add(value)
    assert scopes == {"attention", "layer", "model"}
    assert batches == {(scope, sequences) for scope in scopes for sequences in (1, 2, 3)}
    for path, holds in keys_of(ArchConfig).items():
        if path in NOT_OF_THAT_BUFFER:
            continue
        assert len(drawn[path] - {None}) >= 2, f"{path} is always {drawn[path]}"
        assert choices_of(holds) <= drawn[path], f"{path}: {choices_of(holds) - drawn[path]} is never drawn"
