"""Write the golden results of shipped designs on shipped traces: python tests/golden/make_runs.py

Run it when results change on purpose, and say in the commit why they do.
"""

import json
from pathlib import Path

from dsasim.api import load_arch, load_trace, simulate

RUNS = Path(__file__).parent / "runs"
PAIRS = (
    ("dsa-decoupled", "smollm2-l512"),
    ("dsa-decoupled", "minilm-l128"),
    ("dsa-coupled", "minilm-l128"),
    ("dsa-edge", "minilm-l128"),
    ("dense-16x16", "minilm-l128"),
)


def main() -> None:
    """Simulate each pair and write RUNS/ARCH_TRACE.json."""
    for arch, trace in PAIRS:
        result = simulate(load_arch(arch), load_trace(trace)).to_json()
        text = json.dumps(result, indent=1, ensure_ascii=False)
        (RUNS / f"{arch}_{trace}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
