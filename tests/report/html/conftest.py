"""A small real run with what was seen of it, and rows of a made-up sweep."""

import copy
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.sim.over_time import OverTime
from dsasim.sweep.proof import signed

ADDED = ("design", "selection")


@dataclass(frozen=True)
class Seen:
    """A result as JSON has it, and what looked on."""

    result: dict[str, Any]
    over_time: OverTime


@pytest.fixture(scope="session")
def seen() -> Seen:
    """Three heads of two layers of SmolLM2."""
    over_time = OverTime()
    result = simulate(load_arch("dsa-decoupled"), load_trace("smollm2-l512"), [13, 24], [0, 1, 5], watchers=[over_time])
    return Seen(json.loads(json.dumps(result.to_json())), over_time)


class Rows:
    """Makes rows of a sweep from a result, as a report holds them."""

    def __init__(self, result: dict[str, Any]) -> None:
        self._result = {name: result[name] for name in result if name not in ("cost_sources", "dram_sources")}

    @staticmethod
    def written(rows: Iterable[dict[str, Any]]) -> bytes:
        """Rows as a sweep writes them: what a report adds to them in memory is not in the file."""
        return b"".join(signed({key: value for key, value in row.items() if key not in ADDED}) for row in rows)

    def ran(self, point: int, axes: dict[str, Any], objectives: dict[str, float], status: str = "ok") -> dict[str, Any]:
        """A point with these objectives."""
        head = {"point": point, "status": status, "axes": axes, "schema_version": 1, "sweep_sha256": "0" * 64}
        added = {"design": self._result["arch"]["name"], "selection": "layers 13, 24, heads 0, 1, 5"}
        return head | {"reason": None, "objectives": objectives} | copy.deepcopy(self._result) | added

    def refused(self, point: int, axes: dict[str, Any], status: str, reason: str) -> dict[str, Any]:
        """A point that never ran."""
        head = {"point": point, "status": status, "axes": axes, "schema_version": 1, "sweep_sha256": "0" * 64}
        return head | {"trace": self._result["trace"], "reason": reason}

    def grid(self) -> list[dict[str, Any]]:
        """Two axes, three objectives, one point of each other status."""
        shapes = list(itertools.product((2, 4, 8), ("in_order", "reordered")))
        rows = [
            self.ran(
                at,
                {"pe_array.lanes": lanes, "scheduler.order": order, "dma.open_transfers": 2},
                {"cycles": 1000 // lanes + 40 * (order == "in_order"), "area_mm2": float(lanes), "edp": 5e9 + at},
            )
            for at, (lanes, order) in enumerate(shapes)
        ]
        rows[1]["status"], rows[1]["reason"] = "infeasible", "constraint cycles < 500: it is 500"
        axes = {"pe_array.lanes": 3, "scheduler.order": "in_order", "dma.open_transfers": 2}
        rows.append(self.refused(6, axes, "invalid", "pe_array.lanes in the sweep: 3 does not divide <16>"))
        rows.append(self.refused(7, axes, "failed", "its process died twice"))
        return rows

    def search(self) -> list[dict[str, Any]]:
        """Four points that a search asked for in the order 2, 0, 3, 1; the third broke a constraint. Mass is wanted."""
        found = []
        for at, (evaluation, cycles, mass) in enumerate([(1, 400, 0.5), (3, 100, 0.8), (0, 200, 0.4), (2, 100, 0.9)]):
            row = self.ran(at, {"pe_array.lanes": at + 1}, {"cycles": float(cycles), "captured_mass_ratio": mass})
            senses = {"cycles": "min", "captured_mass_ratio": "max"}
            found.append(row | {"strategy": "nsga2", "evaluation": evaluation, "senses": senses})
        found[3]["status"], found[3]["reason"] = "infeasible", "constraint area_mm2 < 1: it is 2"
        return found


@pytest.fixture(scope="session")
def rows(seen: Seen) -> Rows:
    """A maker of rows."""
    return Rows(seen.result)
