"""Shipped designs on shipped traces give the results on file (tests/golden/make_runs.py writes them).

Integers and words are equal exactly, floats of cost and ratios to 1e-9, quality (float32 arithmetic) to 1e-6.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dsasim.api import load_arch, load_trace, simulate

RUNS = sorted((Path(__file__).parent / "runs").glob("*.json"))


def differences(found: Any, expected: Any, path: str = "") -> list[str]:
    """Where two results differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted(expected.keys() | found.keys())
        missing = object()
        pairs = [(key, found.get(key, missing), expected.get(key, missing)) for key in keys]
        return [line for key, f, e in pairs for line in differences(f, e, f"{path}.{key}" if path else key)]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = list(enumerate(zip(found, expected, strict=True)))
        return [line for at, (f, e) in pairs for line in differences(f, e, f"{path}[{at}]")]
    if isinstance(expected, float) and isinstance(found, float):
        tolerance = 1e-6 if path.startswith("quality") else 1e-9
        same = math.isclose(found, expected, rel_tol=tolerance)
    else:
        same = type(found) is type(expected) and found == expected
    return [] if same else [f"{path}: {found!r}, on file {expected!r}"]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_results_are_those_on_file(path: Path) -> None:
    arch, trace = path.stem.split("_")
    found = json.loads(json.dumps(simulate(load_arch(arch), load_trace(trace)).to_json()))
    expected = json.loads(path.read_text(encoding="utf-8"))
    for result in (found, expected):
        del result["dsasim_version"]
    assert differences(found, expected) == []


def test_five_runs_are_on_file() -> None:
    assert [path.stem for path in RUNS] == [
        "dense-16x16_minilm-l128",
        "dsa-coupled_minilm-l128",
        "dsa-decoupled_minilm-l128",
        "dsa-decoupled_smollm2-l512",
        "dsa-edge_minilm-l128",
    ]


def test_a_difference_is_told_by_its_path() -> None:
    expected = {"cycles": 10, "quality": {"recall": 0.5}, "layers": [{"nnz": 3}], "area": 1.0}
    found = {"cycles": 11, "quality": {"recall": 0.5 + 4e-7}, "layers": [{"nnz": 3}], "area": 1.0 + 2e-9}
    assert differences(found, expected) == [f"area: {1.0 + 2e-9!r}, on file 1.0", "cycles: 11, on file 10"]
