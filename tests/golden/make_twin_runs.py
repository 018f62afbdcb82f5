"""Write what the twin says of the golden runs: python tests/golden/make_twin_runs.py [ARCH_TRACE…]

Takes some minutes of processor time, SmolLM2 most of them. To be run when `make_runs.py` was: the two must agree.
"""

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from make_runs import PAIRS  # noqa: E402
from recount import recount  # noqa: E402
from twin.run import run_twin  # noqa: E402

from dsasim.api import load_arch, load_trace  # noqa: E402


def main() -> None:
    """Each pair as twin_runs/ARCH_TRACE.json."""
    wanted = sys.argv[1:]
    for arch_name, trace_name in PAIRS:
        name = f"{arch_name}_{trace_name}"
        if wanted and name not in wanted:
            continue
        arch, trace = load_arch(arch_name), load_trace(trace_name)
        selection = {layer.number: list(range(layer.num_heads)) for layer in trace}
        counters = sum((recount(arch, trace.layer(number), heads) for number, heads in selection.items()), Counter())
        found = asdict(run_twin(arch, trace, selection)) | {"counters": counters}
        (HERE / "twin_runs" / f"{name}.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
