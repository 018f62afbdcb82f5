"""Readers of YAML: designs, --set, specs of sweeps."""

import copy
import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from dsasim.config.check import check_document
from dsasim.config.keys import all_keys
from dsasim.config.loader import list_archs, load_arch
from dsasim.config.overrides import apply_overrides
from dsasim.config.resolved import arch_to_dict
from dsasim.config.strict_yaml import parse_document
from dsasim.sweep.space import DesignSpace
from dsasim.sweep.spec import load_sweep_spec
from fuzz.attack import Reader

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

SCRAPS = (
    b"= 1",
    b"a: 2021-13-45",
    b"name: x\nbuffers: {k: {bytes: 1e9, 'banks': [0x1, ~]}}\n- |\n  b\n",
    b"? [a]\n: b: &c *d",
)


def text_readers(folder: Path) -> tuple[Reader, ...]:
    """Readers of YAML; `folder` has the trace masks.safetensors."""
    designs = tuple(_without_comments(shipped.path.read_text(encoding="utf-8")) for shipped in list_archs())
    (folder / "base.yaml").write_bytes(designs[0])
    return (
        Reader("design", "d.yaml", designs, _same_design, text=True, lines=True),
        Reader("scraps of YAML", "d.yaml", SCRAPS, _same_design, text=True, lines=True),
        Reader("--set", "o.txt", _overrides(), _Override(designs[0].decode()), text=True, names="--set", lines=True),
        Reader("sweep spec", "s.yaml", _specs(folder), _points, text=True, lines=True),
    )


def _without_comments(text: str) -> bytes:
    """Comments cost time to read, and breaking them breaks nothing."""
    lines = (line.partition(" #")[0].rstrip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line and not line.startswith("#")).encode()


def _same_design(path: Path, _seed: bytes) -> None:
    """What is taken is what another reader of YAML finds in the file."""
    arch = arch_to_dict(load_arch(path))
    document = yaml.load(path.read_bytes().decode("utf-8-sig"), LOADER)
    for key, value in _leaves(document):
        found: Any = arch
        for name in key:
            found = found[name]
        assert type(found) is not bool or type(value) is bool, key
        assert found == value or _number(found) == _number(value), key


def _leaves(value: Any, path: tuple[str, ...] = ()):
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaves(child, (*path, name))
    else:
        yield path, value


def _number(value: Any) -> object:
    """1e9 is a text to YAML 1.1 and a number to 1.2."""
    try:
        return float(Decimal(str(value)))
    except InvalidOperation:
        return value


def _overrides() -> tuple[bytes, ...]:
    """Every key with the value that it has."""
    values = dict(_leaves(arch_to_dict(load_arch("dsa-decoupled"))))
    return tuple(f"{'.'.join(key)}={json.dumps(values.get(key))}".encode() for key in all_keys())


class _Override:
    """Reads the file as what follows --set; the design is parsed once."""

    def __init__(self, text: str) -> None:
        self._document = parse_document(text, "d.yaml")

    def __call__(self, path: Path, _seed: bytes) -> None:
        document = copy.deepcopy(self._document)
        apply_overrides(document, [path.read_bytes().decode("utf-8", "surrogateescape")])
        check_document(document)


def _specs(folder: Path) -> tuple[bytes, ...]:
    head = "base: base.yaml\ntraces: {trace: masks.safetensors, layers: 0, heads: [0, 2]}\n"
    axes = (
        "  pe_array.lanes: {from: 1, to: 4, scale: log2}\n  scheduler.tile_rows: [16, 18, 32]\n",
        "  pair:\n    pe_array.lanes: [1, 2]\n    buffers.k.banks: [4, 8]\n  pe_array.bits: 16\n",
    )
    tails = (
        "constraints: [area_mm2 < 2]\nobjectives: [cycles, energy_pj, area_mm2]\n",
        "objectives: {cycles: min, area_mm2: max}\nstrategy: {method: random, points: 3, seed: 7}\n",
    )
    del folder
    return tuple((head + "axes:\n" + one + other).encode() for one in axes for other in tails)


def _points(path: Path, _seed: bytes) -> None:
    """Read a spec, and make the first and the last of its points."""
    space = DesignSpace(load_sweep_spec(path))
    for number in {0, space.num_points - 1}:
        point = space.point(number)
        assert point.status in ("ready", "invalid", "infeasible")
