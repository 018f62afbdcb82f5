"""The points of a sweep, by number: which design on which trace, or why there is none."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dsasim.api import effective_arch
from dsasim.config.check import check_document
from dsasim.config.overrides import AFTER_ANY_LINE, set_value
from dsasim.config.resolved import arch_sha256, arch_to_dict
from dsasim.config.schema import MachineConfig
from dsasim.config.strict_yaml import Document, SourcePlace
from dsasim.errors import ConfigError
from dsasim.sweep.metrics import design_result, first_broken
from dsasim.sweep.spec import SweepSpec, TraceChoice, plain
from dsasim.trace.store import open_trace

CACHED_POINTS = 4096
"""Each is asked for three times: before its run, for its run and after it. One takes about 10 kB."""


@dataclass(frozen=True)
class DesignPoint:
    """One design on one trace; `status` is `ready`, or `invalid` or `infeasible` for the `reason` given.

    `axes` holds each dotted key's value, JSON-ready. Points of equal `key` are one run.
    """

    number: int
    axes: Mapping[str, Any]
    trace: TraceChoice
    arch: MachineConfig | None
    status: str
    reason: str
    key: str


class DesignSpace:
    """All combinations of the axes' values, the first axis slowest, and within each every trace.

    Point number = combination * num_traces + trace. Worked example: axes of 2 and 3 values and 2 traces are 12 points;
    number 7 is combination 3, so the first axis's value 1 and the second's value 0, on trace 1.
    """

    def __init__(self, spec: SweepSpec) -> None:
        self._spec = spec
        self._lengths = [len(axis.values) for axis in spec.axes]
        self._limits = [constraint for constraint in spec.constraints if constraint.on_design]
        self._masks = {
            at: open_trace(choice.path) for at, choice in enumerate(spec.traces) if choice.meta.kind == "mask"
        }  # they change the design that is run
        self.point = lru_cache(CACHED_POINTS)(self._point)
        """Return a point by its number, its design and the constraints that the design alone decides checked."""

    @property
    def num_points(self) -> int:
        """Number of combinations times the number of traces."""
        return math.prod(self._lengths) * len(self._spec.traces)

    def indices(self, number: int) -> tuple[int, ...]:
        """Which value of each axis a point has, the trace last."""
        combination, trace = divmod(number, len(self._spec.traces))
        found = [trace]
        for length in reversed(self._lengths):
            combination, index = divmod(combination, length)
            found.append(index)
        return tuple(reversed(found))

    def _point(self, number: int) -> DesignPoint:
        *at, trace_at = self.indices(number)
        trace = self._spec.traces[trace_at]
        base = self._spec.base
        document = Document(_copied(base.values), dict(base.places), list(base.problems))
        axes = {}
        for axis, index in zip(self._spec.axes, at, strict=True):
            for key, value, line in zip(axis.keys, axis.values[index], axis.lines, strict=True):
                order, label = self._spec.places.place(line).order, f"{'.'.join(key)} in the sweep"
                set_value(document, key, value, SourcePlace(AFTER_ANY_LINE + order, label))
                axes[".".join(key)] = plain(value)
        arch, reason = self._design(document, trace_at)
        if arch is None:
            return DesignPoint(number, axes, trace, None, "invalid", reason, "")
        if reason := self._broken(arch):
            return DesignPoint(number, axes, trace, arch, "infeasible", reason, "")
        return DesignPoint(number, axes, trace, arch, "ready", "", _key(arch, trace))

    def _design(self, document: Document, trace_at: int) -> tuple[MachineConfig | None, str]:
        try:
            arch = check_document(document)
            return effective_arch(arch, self._masks[trace_at]) if trace_at in self._masks else arch, ""
        except ConfigError as error:
            return None, str(error)

    def _broken(self, arch: MachineConfig) -> str:
        return first_broken(self._limits, design_result(arch, arch_to_dict(arch))) if self._limits else ""


def _copied(value: Any) -> Any:
    """Copy mappings, which are written to; what is in them never changes."""
    return {name: _copied(child) for name, child in value.items()} if isinstance(value, dict) else value


def _key(arch: MachineConfig, trace: TraceChoice) -> str:
    """A fingerprint of all that decides a point's result."""
    facts = (arch_sha256(arch), trace.meta.sha256, trace.layers, trace.heads)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
