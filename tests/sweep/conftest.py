"""Small specs, and sweeps of made-up results on forked workers, which start at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsasim.sweep.pool import LocalWorkers
from dsasim.sweep.row import Simulation
from dsasim.sweep.runner import SweepResult, run_sweep
from dsasim.sweep.spec import SweepSpec, load_sweep_spec

SPEC = """
base: dsa-decoupled
traces: {trace: minilm-l128, layers: 2, heads: 0}
axes:
  pe_array.lanes: [1, 2, 4, 8]
objectives: [cycles, area_mm2]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., SweepSpec]:
    """Load SPEC with keys replaced: spec(axes="{...}"); None removes one."""

    def load(**keys: str | None) -> SweepSpec:
        path = tmp_path / "s.yaml"
        lines = {line.split(":")[0]: line for line in SPEC.strip().replace(":\n  ", ": {").split("\n")}
        lines["axes"] = "axes: {pe_array.lanes: [1, 2, 4, 8]}"
        lines |= {key: f"{key}: {value}" for key, value in keys.items() if value is not None}
        path.write_text("\n".join(line for key, line in lines.items() if keys.get(key, "") is not None))
        return load_sweep_spec(path)

    return load


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., SweepResult]:
    """Run a spec with a task into a folder under tmp_path."""

    def run(
        spec: SweepSpec, simulation: Simulation, folder: str = "out", workers: int = 2, **options: Any
    ) -> SweepResult:
        return run_sweep(spec, tmp_path / folder, LocalWorkers(workers, "fork"), simulation=simulation, **options)

    return run
