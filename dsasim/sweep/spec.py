"""A sweep's YAML as checked, frozen values: base design, traces, axes, constraints, objectives, strategy."""

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import dsasim
from dsasim import registry
from dsasim.config.check import check_document
from dsasim.config.loader import arch_document, locate_arch, read_document, read_yaml
from dsasim.config.schema import MachineConfig
from dsasim.config.strict_yaml import UNREADABLE, Document, KeyPath, Problem
from dsasim.errors import ConfigError, DsasimError
from dsasim.inputs.printable import unprintable
from dsasim.sweep.axes import Axis, axis_schemas, read_axes
from dsasim.sweep.metrics import Constraint, Metric, find_metric, parse_constraint
from dsasim.trace.attention import AttentionTrace, TraceMeta
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace

KEYS = ("base", "traces", "axes", "objectives", "constraints", "strategy")
REQUIRED = KEYS[:4]
SEARCHES = ("nsga2", "tpe")
METHODS = ("grid", "random", *SEARCHES)
MAX_POINTS = 1_000_000
ROW_VERSION = 3
"""Of what a row holds (`sweep.row`): one more when that changes, so that no file gets rows of two kinds."""

MAX_SEED = (1 << 31) - 1

Read = TypeVar("Read")


@dataclass(frozen=True)
class TraceChoice:
    """A trace and what of it is simulated; all layers or heads where None."""

    path: Path
    meta: TraceMeta
    layers: tuple[int, ...] | None
    heads: tuple[int, ...] | None


@dataclass(frozen=True)
class Strategy:
    """Which points of the space are run: all (`grid`), or `num_points` of them by `method`, from `seed`."""

    method: str = "grid"
    num_points: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class SweepSpec:
    """A checked spec. `base` is the base design's document, unchecked: an axis may yet complete or mend it.

    `sha256` is a fingerprint of all that decides the results, the version of dsasim included; places do not matter.
    """

    name: str
    base: Document
    places: Document
    traces: tuple[TraceChoice, ...]
    axes: tuple[Axis, ...]
    constraints: tuple[Constraint, ...]
    objectives: tuple[Metric, ...]
    strategy: Strategy
    sha256: str

    def needs(self, part: str) -> bool:
        """Say whether an objective or a constraint looks at this part of the results."""
        return any(metric.needs(part) for metric in (*self.objectives, *(each.metric for each in self.constraints)))


def load_sweep_spec(path: str | Path) -> SweepSpec:
    """Read the spec in a file; ConfigError lists everything that is wrong with it, each with its line.

    Files that it names are looked for beside it.
    """
    label = str(path)
    if found := unprintable(Path(path).stem):
        raise ConfigError(f"{label}: a sweep is called by its file, whose name holds '{found}': rename the file")
    document = read_document(Path(path), label, "a sweep")
    for name in document.values:
        if name not in KEYS:
            close = difflib.get_close_matches(name, KEYS, 1)
            _complain(document, (name,), f"unknown key; {f'did you mean {close[0]}?' if close else _one_of(KEYS)}")
    for name in REQUIRED:
        if name not in document.values:
            _complain(document, (), f"{name} is missing; a sweep needs {', '.join(REQUIRED)}")
    if document.problems:
        raise _error(document)
    folder = Path(path).parent
    base = _read_base(document, folder)
    traces = _read_traces(document, folder)
    schemas = axis_schemas({} if base is None else base.values, document.values["axes"])
    arch = None if base is None else _as_it_is(base)
    axes = read_axes(document, schemas)
    constraints = _read_texts(document, "constraints", lambda text: parse_constraint(text, arch, schemas))
    objectives = _read_objectives(document, arch)
    strategy = _read_strategy(document)
    _check_masks(document, traces, (*objectives, *(each.metric for each in constraints)))
    if document.problems or base is None:
        raise _error(document)
    values = {name: document.values.get(name) for name in ("axes", "constraints", "objectives")}
    digest = _fingerprint(base, traces, values, strategy)
    return SweepSpec(Path(path).stem, base, document, traces, axes, constraints, objectives, strategy, digest)


def plain(value: Any) -> Any:
    """Return a value of a document as JSON can hold it."""
    if isinstance(value, dict):
        return {name: plain(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    return float(value) if isinstance(value, Decimal) else value


def _read_base(document: Document, folder: Path) -> Document | None:
    name = document.values["base"]
    if not isinstance(name, str):
        _complain(document, ("base",), "must be the name of a shipped design or a file")
        return None
    try:
        path, label = locate_arch(name)
        path = folder / path
        # messages about points go into the results, which hold no paths
        return arch_document(path, Path(label).name, read_yaml(path, label))
    except ConfigError as error:
        _complain(document, ("base",), str(error))
        return None


def _read_traces(document: Document, folder: Path) -> tuple[TraceChoice, ...]:
    written = document.values["traces"]
    items = written if isinstance(written, list) else [written]
    if not items:
        _complain(document, ("traces",), "must name a trace")
    choices = []
    for number, item in enumerate(items):
        path: KeyPath = ("traces", str(number)) if isinstance(written, list) else ("traces",)
        try:
            choices.append(_trace(item, folder))
        except DsasimError as error:
            _complain(document, path, str(error))
    return tuple(choices)


def _trace(item: Any, folder: Path) -> TraceChoice:
    """Read `NAME` or `{trace: NAME, layers: [0, 3], heads: [0]}`."""
    values = item if isinstance(item, dict) else {"trace": item}
    if unknown := [key for key in values if key not in ("trace", "layers", "heads")]:
        raise ConfigError(f"unknown key {unknown[0]}; a trace has trace, layers, heads")
    name = values.get("trace")
    if not isinstance(name, str):
        raise ConfigError("must be the name of a shipped trace, a file, or {trace: NAME, layers: [0, 3], heads: [0]}")
    is_file = "/" in name or Path(name).suffix
    path = find_trace(folder / name if is_file else name).absolute()
    opened = open_trace(path)
    layers, heads = _numbers(values.get("layers"), "layers"), _numbers(values.get("heads"), "heads")
    _check_selection(opened, layers, heads)
    return TraceChoice(path, opened.meta, layers, heads)


def _numbers(value: Any, what: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise ConfigError(f"{what} must be whole numbers, such as [0, 3]")
    return tuple(sorted(set(numbers)))


def _check_selection(trace: AttentionTrace, layers: tuple[int, ...] | None, heads: tuple[int, ...] | None) -> None:
    known = trace.layer_numbers
    for number in layers or ():
        if number not in known:
            raise ConfigError(f"{trace.meta.name} has no layer {number}; it has {', '.join(map(str, known))}")
    num_heads = min(trace.layer(number).num_heads for number in layers or known)
    for head in heads or ():
        if not 0 <= head < num_heads:
            raise ConfigError(f"{trace.meta.name} has no head {head}; heads are 0 to {num_heads - 1}")


def _read_texts(document: Document, name: str, parse: Callable[[str], Read]) -> tuple[Read, ...]:
    """Read a list of texts (or one text), each by `parse`."""
    written = document.values.get(name, [])
    items = written if isinstance(written, list) else [written]
    found = []
    for number, item in enumerate(items):
        path = (name, str(number))
        if not isinstance(item, str):
            _complain(document, path, "must be text")
            continue
        try:
            found.append(parse(item))
        except ConfigError as error:
            _complain(document, path, str(error))
    return tuple(found)


def _as_it_is(base: Document) -> MachineConfig | None:
    """The base design, if no axis has to complete it."""
    try:
        return check_document(base)
    except ConfigError:
        return None


def _read_objectives(document: Document, arch: MachineConfig | None) -> tuple[Metric, ...]:
    """Read a list of metrics, or a mapping of metrics to `min` or `max`."""
    written = document.values["objectives"]
    found: list[Metric] = []
    if isinstance(written, dict):
        for name, sense in written.items():
            if sense not in ("min", "max"):
                _complain(document, ("objectives", name), "must be min or max")
                continue
            try:
                found.append(find_metric(name, sense, arch))
            except ConfigError as error:
                _complain(document, ("objectives", name), str(error))
    else:
        found += _read_texts(document, "objectives", lambda name: find_metric(name, arch=arch))
    names = [metric.name for metric in found]
    if len(set(names)) < len(names):
        _complain(document, ("objectives",), "names one metric twice")
    if not written:
        _complain(document, ("objectives",), "must name a metric, such as cycles")
    return tuple(found)


def _read_strategy(document: Document) -> Strategy:
    """Read `grid`, or `{method: random, points: 200, seed: 1}`."""
    written = document.values.get("strategy", "grid")
    values = written if isinstance(written, dict) else {"method": written}
    path: KeyPath = ("strategy",)
    for name in values:
        if name not in ("method", "points", "seed"):
            _complain(document, (*path, name), "unknown key; a strategy has method, points, seed")
    method, points, seed = values.get("method"), values.get("points"), values.get("seed", 0)
    if method not in METHODS:
        _complain(document, path, f"method must be {_one_of(METHODS)}")
    elif method == "grid" and (points is not None or "seed" in values):
        _complain(document, path, "a grid runs every point: it has neither points nor seed")
    elif method != "grid" and not _is_whole(points, 1, MAX_POINTS):
        _complain(document, path, f"{method} needs points, a whole number from 1 to {MAX_POINTS}")
    elif not _is_whole(seed, 0, MAX_SEED):
        _complain(document, path, f"seed must be a whole number from 0 to {MAX_SEED}")
    else:
        if method in SEARCHES and isinstance(document.values["traces"], list) and len(document.values["traces"]) > 1:
            _complain(
                document, path, f"{method} compares points, and points on several traces cannot be: name one trace"
            )
        return Strategy(method, points, seed)
    return Strategy()


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_masks(document: Document, traces: tuple[TraceChoice, ...], metrics: tuple[Metric, ...]) -> None:
    """A trace of masks has no Q and K, so nothing can be said of its quality."""
    masks = [choice.meta.name for choice in traces if choice.meta.kind == "mask"]
    wanted = [metric.name for metric in metrics if metric.needs("quality")]
    if masks and wanted:
        _complain(document, ("traces",), f"{masks[0]} holds masks alone, so a run of it has no {wanted[0]}")


def _fingerprint(base: Document, traces: tuple[TraceChoice, ...], values: Mapping[str, Any], strategy: Strategy) -> str:
    facts = {
        "dsasim_version": dsasim.__version__,
        "row_version": ROW_VERSION,
        "base": base.values,
        "traces": [(choice.meta.sha256, choice.layers, choice.heads) for choice in traces],
        "strategy": (strategy.method, strategy.num_points, strategy.seed),
        **values,
    }
    if registry.any_plugins():
        facts["plugins"] = registry.plugins_digest()
    # axes in the order written: it decides the points' numbers
    text = json.dumps(plain(facts), default=lambda value: None if value is UNREADABLE else str(value))
    return hashlib.sha256(text.encode()).hexdigest()


def _one_of(words: tuple[str, ...]) -> str:
    return f"one of {', '.join(words)}"


def _complain(document: Document, path: KeyPath, text: str) -> None:
    document.problems.append(Problem(document.place(path), path, text))


def _error(document: Document) -> ConfigError:
    return ConfigError(*map(str, sorted(document.problems)))
