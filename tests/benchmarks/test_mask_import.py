"""A mask file of 2 GB becomes a trace in little memory: its pages are let go of as they are read."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dsasim.trace.store import open_trace

SHAPE = (4, 32, 4096, 4096)
LIMIT_MB = 400
SCRIPT = """
import resource, sys
from dsasim.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.benchmark
@pytest.mark.parametrize("polarity", [[], ["--pruned-is-true"]])
def test_two_gigabytes_in_little_memory(polarity: list[str], tmp_path: Path) -> None:
    npy, out = tmp_path / "big.npy", tmp_path / "big.safetensors"
    with npy.open("wb") as file:  # a sparse file: holes read as False
        np.lib.format.write_array_header_1_0(file, {"descr": "|b1", "fortran_order": False, "shape": SHAPE})
        file.truncate(file.tell() + int(np.prod(SHAPE)))
    marked = np.load(npy, mmap_mode="r+")
    marked[1, 5, 100, 7] = True
    del marked
    command = [sys.executable, "-c", SCRIPT, "trace", "import-mask", str(npy), "--d-head", "64", *polarity]
    done = subprocess.run([*command, "--out", str(out)], check=True, capture_output=True, text=True)
    assert int(done.stdout.splitlines()[-1]) < LIMIT_MB
    bits = open_trace(out).layer(1).given_bits(5)
    assert bits is not None
    kept = int(np.bitwise_count(bits).sum())
    assert kept == (4096 * 4096 - 1 if polarity else 1)
