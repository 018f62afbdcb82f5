"""What a name means, in words that the schema, the metrics and the units say of themselves."""

import difflib
from collections.abc import Iterator

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dsasim.config.keys import SchemaKey, all_keys
from dsasim.config.schema import AUTO, MachineConfig, Section
from dsasim.config.schemas import schema_of
from dsasim.config.strict_yaml import KeyPath
from dsasim.errors import ConfigError
from dsasim.machine.spec import Silicon
from dsasim.report.style import STALL_WORDS
from dsasim.sim.engine import design_of
from dsasim.sweep.metrics import METRICS


def explained(name: str, arch: MachineConfig) -> list[str]:
    """Lines on a key of the design, a metric, an event of its units, or a stall reason; ConfigError with the nearest.

    A key may leave out its sections where no other ends alike.
    """
    schema = schema_of(arch.model_dump())
    keys, events = all_keys(schema), dict(_events(arch))
    paths = [path for path in keys if ".".join(path) == name] or [path for path in keys if path[-1] == name]
    lines = [line for path in paths for line in _key(path, keys[path], schema)]
    if name in METRICS:
        metric = METRICS[name]
        where = " x ".join(".".join(path) for path in metric.paths)
        lines.append(f"{name}: a metric, {where} of a result; {'less' if metric.sense == 'min' else 'more'} is better")
    event = name.removeprefix("counters.")
    if event in events:
        lines.append(f"{event}: an event, counters.{event} of a result; {events[event]}")
    if name in STALL_WORDS:
        lines.append(f"{name}: a stall reason, printed as {STALL_WORDS[name]} (rules: dsasim.machine.waits)")
    if lines:
        return lines
    known = {path[-1]: ".".join(path) for path in keys} | {other: other for other in (*METRICS, *events, *STALL_WORDS)}
    known |= {".".join(path): ".".join(path) for path in keys}
    close = dict.fromkeys(known[match] for match in difflib.get_close_matches(name, known, 3))
    raise ConfigError(f"nothing is called {name}" + (f"; did you mean {' or '.join(close)}?" if close else ""))


def _key(path: KeyPath, key: SchemaKey, schema: type[Section]) -> Iterator[str]:
    """What the key is, what it may hold, and what it is if left out; of a section, its keys."""
    field = _field(path, schema)
    words = field.description or (key.section.__doc__ if key.section else "") or ""
    yield f"{'.'.join(path)}: {words}"
    if key.section:
        yield f"  a section of {', '.join(key.section.model_fields)}"
        return
    default = field.default
    none = AUTO if key.automatic else "null"
    left_out = "required" if default is PydanticUndefined else f"if left out {none if default is None else default}"
    yield f"  {key.allowed}; {left_out}"


def _field(path: KeyPath, schema: type[Section]) -> FieldInfo:
    holder = all_keys(schema)[path[:-1]].section if len(path) > 1 else schema
    assert holder is not None
    return holder.model_fields[path[-1]]


def _events(arch: MachineConfig) -> Iterator[tuple[str, str]]:
    """What each event costs, and where it is counted."""
    design = design_of(arch)
    parts = [(unit.name, unit.silicon) for unit in design.units()]
    for name, silicon in [*parts, *((f"the {buffer.name} buffer", buffer.silicon) for buffer in design.buffers())]:
        if silicon is not None:
            for event in silicon.events:
                yield event, f"of {name} in {arch.name}, {_price(silicon, event)}"


def _price(silicon: Silicon, event: str) -> str:
    if silicon.absent:
        return "which the design does not have"
    return f"free: {silicon.free[event]}" if event in silicon.free else f"{silicon.energy_pj[event]:.4g} pJ each"
