"""A design written back out: as JSON-ready values, as YAML, and as a fingerprint."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import yaml

from dsasim.config.schema import USUAL_DESIGN, MachineConfig
from dsasim.config.strict_yaml import scalar_value


def arch_to_dict(arch: MachineConfig) -> dict[str, Any]:
    """Return every key of `arch`, nulls included, as JSON-ready values: the machine's sections, then what all have.

    The machine is named unless it is the usual one, `dsa`: files and fingerprints of before it had a name stay true.
    """
    values: dict[str, Any] = _plain(arch.model_dump())
    last = {name: values.pop(name) for name in ("dma", "dram", "cost")}
    return {key: value for key, value in values.items() if (key, value) != ("design", USUAL_DESIGN)} | last


def arch_sha256(arch: MachineConfig) -> str:
    """Return the hex SHA-256 of `arch_to_dict(arch)` as JSON with sorted keys and no spaces."""
    text = json.dumps(arch_to_dict(arch), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def arch_to_yaml(arch: MachineConfig) -> str:
    """Return `arch` as YAML that `load_arch` reads back to the same design, a blank line between sections."""
    parts = []
    for name, value in arch_to_dict(arch).items():
        if value is not None:
            gap = "\n" if isinstance(value, dict) else ""
            text = yaml.dump(
                {name: _without_nulls(value)}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
            )
            parts.append(gap + text)
    return "".join(parts)


def scalar_to_yaml(value: Any) -> str:
    """Return a value that is no section as it stands behind its key in YAML: `0.1`, `true`, `null`, quoted text."""
    return yaml.dump({"": value}, Dumper=_Dumper, allow_unicode=True, width=1 << 20).partition(": ")[2].rstrip("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(child) for name, child in value.items()}
    # at most 15 digits (strict_yaml.MAX_DIGITS), so the float prints as the decimal did
    return float(value) if isinstance(value, Decimal) else value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(child) for name, child in value.items() if child is not None}
    return value


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that our own reader would take for something else."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    try:
        plain = scalar_value(text, plain=True) == text
    except ValueError:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)
