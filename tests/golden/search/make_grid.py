"""Write grid.csv: the objectives of all 2,000 points of examples/sweep_search.yaml, to six digits, in their order.

python tests/golden/search/make_grid.py     (a minute and a half of processor time)
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from dsasim.sweep.pool import LocalWorkers
from dsasim.sweep.runner import run_sweep
from dsasim.sweep.spec import Strategy, load_sweep_spec

HERE = Path(__file__).resolve().parent
SPEC = HERE.parents[2] / "examples" / "sweep_search.yaml"

if __name__ == "__main__":
    spec = replace(load_sweep_spec(SPEC), strategy=Strategy())
    with tempfile.TemporaryDirectory() as folder:
        result = run_sweep(spec, Path(folder), LocalWorkers(2))
    lines = [",".join(metric.name for metric in spec.objectives)]
    lines += [
        ",".join(f"{value:.6g}" for value in seen.objectives or ()) for _, seen in sorted(result.outcomes.items())
    ]
    (HERE / "grid.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
