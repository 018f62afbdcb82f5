"""Parts by name: what ships with dsasim, what installed packages offer, and files that `--plugin` names.

    designs      a whole machine: its units, and a layer as jobs              attribute DESIGN
    methods      how keep masks are predicted, in costed operations           attribute METHOD
    selectors    masks from scores                                            attribute SELECTOR
    dataflows    masks as work of the array and traffic of keys               attribute DATAFLOW

One that ships is the module of its name in `dsasim.<kind>`, whose other modules are in its SHARED; it is imported when
it is wanted. An installed package offers one by an entry point of the group `dsasim.<kind>`. A plugin file has
dictionaries DESIGNS, METHODS, SELECTORS and DATAFLOWS, each name with its part. A name stands for one part: a second
one of that name is refused.
"""

import difflib
import hashlib
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from dsasim.errors import ConfigError
from dsasim.inputs.printable import printable
from dsasim.inputs.source import Source

ATTRIBUTES: Mapping[str, str] = {
    "designs": "DESIGN",
    "methods": "METHOD",
    "selectors": "SELECTOR",
    "dataflows": "DATAFLOW",
}
"""Each kind, and what its modules call their part."""

BASES: Mapping[str, tuple[str, str]] = {
    "designs": ("dsasim.sim.design", "Design"),
    "methods": ("dsasim.methods.base", "Method"),
    "selectors": ("dsasim.selectors.base", "Selector"),
    "dataflows": ("dsasim.dataflows.base", "Dataflow"),
}
"""Module and class that each kind's parts derive from; imported when a part from outside is looked at."""

VARIABLE = "DSASIM_PLUGINS"
"""Plugin files of this process and of those it starts, one a line: workers of a sweep load the same."""

MAX_PLUGIN_BYTES = 1 << 20


def names(kind: str) -> tuple[str, ...]:
    """All names of a kind, sorted."""
    return tuple(sorted({*_shipped(kind), *_offered(kind), *_from_files(kind)}))


def find(kind: str, name: str) -> Any:
    """The part of this name; ConfigError with the nearest name if there is none, or if it cannot be loaded."""
    if name in _from_files(kind):
        return _from_files(kind)[name]
    if name in _shipped(kind):
        return getattr(import_module(f"dsasim.{kind}.{name}"), ATTRIBUTES[kind])
    if name in _offered(kind):
        return _load(_offered(kind)[name])
    close = difflib.get_close_matches(name, names(kind), 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names(kind))}"
    raise ConfigError(f"no {kind[:-1]} named {printable(name)}; {hint}")


def origin(kind: str, name: str) -> str:
    """Where a part comes from: dsasim, an installed package, or a plugin's file."""
    if name in _shipped(kind):
        return "dsasim"
    if name in _offered(kind):
        package = _offered(kind)[name].dist
        return "an installed package" if package is None else package.name
    return next((Path(path).name for path in _plugin_paths() if name in _parts(_module(path), kind)), "")


def use_plugins(paths: list[str]) -> None:
    """Make the parts of plugin files known here and in processes started from here; ConfigError for what is not one."""
    resolved = [str(Path(path).resolve()) for path in paths]
    os.environ[VARIABLE] = "\n".join(dict.fromkeys((*_plugin_paths(), *resolved)))
    for path in resolved:
        module = _module(path)
        if not any(_parts(module, kind) for kind in ATTRIBUTES):
            wanted = ", ".join(ATTRIBUTES[kind] + "S" for kind in ATTRIBUTES)
            raise ConfigError(f"--plugin {printable(path)}: has none of {wanted}")
        for kind in ATTRIBUTES:
            if taken := sorted({*_parts(module, kind)} & {*_shipped(kind), *_offered(kind)}):
                raise ConfigError(f"--plugin {printable(path)}: there is a {kind[:-1]} named {taken[0]} already")


def load_plugins() -> None:
    """Load the files that this process was started with, so that what is of their classes can be unpickled."""
    for path in _plugin_paths():
        _module(path)


def plugin_line(error: BaseException | None) -> str | None:
    """Where in a plugin's file an error was raised, or in what it called: `FILE:LINE`; None if in none.

    SimPy raises a copy of an error, whose cause is the error.
    """
    while error is not None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in _plugin_paths()]
        if frames:
            return f"{frames[-1].filename}:{frames[-1].lineno}"
        error = error.__cause__
    return None


def any_plugins() -> bool:
    """Whether any part comes from outside."""
    return bool(_plugin_paths()) or any(_offered(kind) for kind in ATTRIBUTES)


def plugins_digest() -> str:
    """A fingerprint of all plugin files and of what offers installed parts: whatever depends on parts depends on it."""
    digest = hashlib.sha256()
    for path in _plugin_paths():
        digest.update(_source(path).read())
    for kind in ATTRIBUTES:
        for name, point in sorted(_offered(kind).items()):
            version = "" if point.dist is None else point.dist.version
            digest.update(f"{kind} {name} {point.value} {version}\n".encode())
    return digest.hexdigest()


@cache
def _shipped(kind: str) -> frozenset[str]:
    package = import_module(f"dsasim.{kind}")
    shared: frozenset[str] = package.SHARED
    return frozenset(module.name for module in pkgutil.iter_modules(package.__path__)) - shared


@cache
def _offered(kind: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"dsasim.{kind}")}


def _from_files(kind: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for path in _plugin_paths():
        found |= _parts(_module(path), kind)
    return found


def _plugin_paths() -> list[str]:
    return [path for path in os.environ.get(VARIABLE, "").split("\n") if path]


@cache
def _parts(module: ModuleType, kind: str) -> Mapping[str, Any]:
    """The parts of a kind in a plugin's file; ConfigError for what is no dictionary of names and classes."""
    key = ATTRIBUTES[kind] + "S"
    where, parts = f"--plugin {printable(module.__file__)}: {key}", getattr(module, key, {})
    if not isinstance(parts, Mapping):
        raise ConfigError(f"{where}: a dictionary of names and classes, not {printable(repr(parts))}")
    return {_name(name, where): _checked(kind, part, f"{where}[{name!r}]") for name, part in parts.items()}


def _name(name: object, where: str) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ConfigError(f"{where}: a name is a word of small letters, digits and _, not {printable(repr(name))}")
    return name


def _checked(kind: str, part: object, where: str) -> Any:
    """The part, if it derives from what parts of its kind do."""
    module, base = BASES[kind]
    if not isinstance(part, type) or not issubclass(part, getattr(import_module(module), base)):
        raise ConfigError(f"{where}: a class that derives from {module}.{base}, not {printable(repr(part))}")
    return part


@cache
def _module(path: str) -> ModuleType:
    """A plugin's file as a module, under a name that it can be found by again."""
    text = _source(path).text()
    name = f"dsasim_plugin_{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--plugin {printable(path)}: not a Python file (*.py)")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 (to run it is what --plugin is for)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        where = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"--plugin {printable(path)}{where}: {type(error).__name__}: {printable(error)}") from error
    return module


def _source(path: str) -> Source:
    return Source(Path(path), "a plugin", MAX_PLUGIN_BYTES, argument="--plugin")


def _load(point: EntryPoint) -> Any:
    kind = point.group.removeprefix("dsasim.")
    what = f"{kind} {point.name} ({point.value})"
    try:
        part = point.load()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what}: cannot be loaded: {type(error).__name__}: {printable(error)}") from error
    return _checked(kind, part, what)
