"""The same run in two processes with other hash seeds and thread counts gives the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

RUN = """
import json
from dsasim.api import load_arch, load_trace, simulate
result = simulate(load_arch("dsa-edge"), load_trace("minilm-l128"), layers=[0, 5], heads=[0, 7])
print(json.dumps(result.to_json()))
"""


def output(root: Path, hash_seed: int, threads: int) -> bytes:
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))
    environment = os.environ | counts | {"PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(
        [sys.executable, "-c", RUN], cwd=root, env=environment, check=True, capture_output=True
    ).stdout


def test_bytes_do_not_depend_on_hash_seed_or_threads(root: Path) -> None:
    one, two = output(root, 1, 1), output(root, 2, 2)
    assert one == two
    assert len(one) > 1000
