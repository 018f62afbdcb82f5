"""What of a design was changed: what its name no longer says, so that no figure stands beside the wrong name."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from dsasim.config.loader import list_archs, load_arch
from dsasim.config.overrides import last_of_each
from dsasim.config.resolved import arch_to_dict, scalar_to_yaml
from dsasim.config.schema import MachineConfig

MAX_SHOWN = 6
"""Changes in a title; more are counted."""


def changes_of(arch: MachineConfig, overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """Return `key=value` of what `--set` said, then of what else the shipped design of this name has otherwise.

    Empty for a shipped design as it is, and for a design of another name that nothing was set in.
    """
    overridden = {".".join(path): override for path, override in last_of_each(overrides).items()}
    shipped = _shipped(arch.name)
    found = {} if shipped is None else dict(_differences(arch_to_dict(arch), arch_to_dict(shipped)))
    return tuple((overridden | found | overridden).values())  # in the order of what was set, and as it was written


def design_words(name: str, changes: Sequence[str]) -> str:
    """A design's name and its changes: `dsa-edge with pe_array.lanes=2`."""
    more = f" and {len(changes) - MAX_SHOWN} more" if len(changes) > MAX_SHOWN else ""
    return f"{name} with {', '.join(changes[:MAX_SHOWN])}{more}" if changes else name


@cache
def _shipped(name: str) -> MachineConfig | None:
    path = {each.name: each.path for each in list_archs()}.get(name)
    return None if path is None else load_arch(path)


def _differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each key of ours in which two designs differ, and `key=value` of it; a section is one key."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours:
            yield from _differences(ours[key], theirs.get(key), f"{path}.{key}" if path else key)
    elif ours != theirs:
        yield path, f"{path}={'{…}' if isinstance(ours, dict) else scalar_to_yaml(ours)}"
