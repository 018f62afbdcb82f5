"""How a command ended, and what can be seen of it: its output, its files, the trace that it wrote."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsasim.trace.store import open_trace


@dataclass(frozen=True)
class Done:
    """A command that ended, and the folder that it ran in."""

    status: int
    out: str
    err: str
    folder: Path

    @property
    def json(self) -> Any:
        """What stands on stdout."""
        return json.loads(self.out)

    def text(self, name: str) -> str:
        """A file that it wrote; empty if it wrote none."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def trace(self) -> Any:
        """The trace that it wrote."""
        return open_trace(self.folder / "out.safetensors")

    @property
    def layer(self) -> Any:
        """The first layer of that trace."""
        return next(iter(self.trace))


def kept(done: Done) -> list[list[int]]:
    """Kept keys of each row of the first head of the trace that was written."""
    bits = np.unpackbits(done.layer.given_bits(0), axis=1)[:, : done.layer.L_k]
    return [np.flatnonzero(row).tolist() for row in bits]


def kept_first(done: Done) -> int:
    """How many keys the last row keeps."""
    return len(kept(done)[-1])


def layers(done: Done) -> list[int]:
    """Layers of a result."""
    return [layer["layer"] for layer in done.json["layers"]]


def heads(done: Done) -> list[list[int]]:
    """Heads of each layer of a result."""
    return [[head["head"] for head in layer["heads"]] for layer in done.json["layers"]]


def scope(done: Done) -> tuple[str, bool]:
    """A result's scope, and whether anything but attention was run."""
    return done.json["scope"], done.json["counters"]["macs_dense"] > 0


def costs(done: Done) -> tuple[Any, ...]:
    """Time, energy, area, and what was kept and loaded: designs that differ in name only have the same."""
    run = done.json
    each = [(head["nnz"], head["k_loads"]) for layer in run["layers"] for head in layer["heads"]]
    return run["time_ns"], run["energy_pj"]["total"], run["area_mm2"]["total"], *each


def measured_gpus(done: Done) -> list[str]:
    """GPUs of a result that profiles brought."""
    return sorted({gpu["gpu"] for gpu in done.json["baseline"]["gpu"] if gpu["gpu"].startswith("Test")})


def last_event(done: Done) -> float:
    """Where the last event of a timeline begins, in its own unit."""
    return max(event["ts"] for event in json.loads(done.text("t.json"))["traceEvents"] if event["ph"] == "X")


def masks_shown(done: Done) -> list[str]:
    """Masks on a page."""
    return re.findall(r'<div class="chart" id="(mask-[^"]*)"', done.text("p.html"))


def title(done: Done) -> str:
    """The first line printed."""
    return done.out.split("\n")[0]


def ended(done: Done) -> tuple[int, str]:
    """The exit status and the message."""
    return done.status, done.err.removeprefix("dsasim: error: ").strip()


def of(*names: str) -> Callable[[Done], Any]:
    """What stands at these names of the JSON on stdout."""

    def look(done: Done) -> Any:
        found = done.json
        for name in names:
            found = found[name]
        return found

    return look


def row(words: str) -> Callable[[Done], list[str]]:
    """The cells of one row of a printed table."""
    return lambda done: re.split(r" {2,}", next(line for line in done.out.split("\n") if words in line).strip())[1:]


def says(words: str, name: str | None = None) -> Callable[[Done], bool]:
    """Whether something is printed, or is in a file."""
    return lambda done: words in (done.out if name is None else done.text(name))


def layer_has(*names: str) -> Callable[[Done], list[Any]]:
    """Attributes of the first layer of the trace that was written."""
    return lambda done: [getattr(done.layer, name) for name in names]


def writes(name: str) -> Callable[[Done], bool]:
    """Whether a file is there."""
    return lambda done: (done.folder / name).exists()


def status(done: Done) -> int:
    """The exit status."""
    return done.status
