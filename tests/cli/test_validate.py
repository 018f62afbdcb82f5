"""`dsasim validate` as its user meets it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

torch = pytest.importorskip("torch")

from dsasim.trace.arrays import MaskArrays
from dsasim.trace.digest import content_digest
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import write_trace
from dsasim.trace.tensors import MappedTensors, MemoryTensors

SELECTED = ("dsa-decoupled", "minilm-l128", "--device", "cpu", "--layers", "0,5", "--heads", "0-1")


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, *rest: None if name == "g++" else which(name, *rest))


def corrupt(root: Path, tmp_path: Path, tensor: str, place: tuple[int, ...], value: float) -> str:
    """A shipped trace with one value changed, its digest made right again."""
    original = root / "traces" / "minilm-l128.safetensors"
    tensors, metadata = load_file(original), json.loads(MappedTensors(original).metadata["dsasim"])
    tensors[tensor][place] = value
    metadata["sha256"] = content_digest(metadata, MemoryTensors("", tensors))
    path = tmp_path / "changed.safetensors"
    save_file(tensors, path, metadata={"dsasim": json.dumps(metadata)})
    return str(path)


def test_a_shipped_trace_passes(dsasim: Callable, tmp_path: Path) -> None:
    page, figures = tmp_path / "r.html", tmp_path / "r.json"
    done = dsasim("validate", *SELECTED, "--json", str(figures), "--report", str(page))
    assert (done.status, done.err) == (0, "")
    assert "9 of 9 gates passed, 1 skipped" in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    said = json.loads(figures.read_text())
    assert said["status"] == "passed"
    sizes = {"num_heads": 12, "num_kv_heads": 12, "L_q": 128, "L_k": 128, "d_head": 32, "causal": False}
    assert said["layers"] == [{"layer": number, "heads": [0, 1], "stored": "float16"} | sizes for number in (0, 5)]
    assert said["machine"]["name"]
    assert re.fullmatch("[0-9a-f]{64}", said["source_sha256"])
    assert {"dsasim", "python", "torch", "numpy", "numba"} <= set(said["versions"])
    assert str(tmp_path) not in figures.read_text() + page.read_text()
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", figures.read_text() + page.read_text())


def test_the_page_stands_alone(dsasim: Callable, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    dsasim("validate", *SELECTED, "--report", str(page))
    text = page.read_text()
    assert not re.search(r"<script|<link|src=|href=|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text
    assert "<svg" in text


def test_json_to_stdout_is_json_alone_and_the_same_again(dsasim: Callable) -> None:
    first, second = (dsasim("validate", *SELECTED, "--json", "-").out for _ in range(2))
    assert json.loads(first)["schema_version"] == 1
    assert first == second


def test_a_changed_key_ends_with_1(dsasim: Callable, root: Path, tmp_path: Path) -> None:
    trace = corrupt(root, tmp_path, "layer.0.k", (1, 0, 3), 40.0)
    report = tmp_path / "r.json"
    done = dsasim("validate", "dsa-decoupled", trace, *SELECTED[2:], "--json", str(report))
    assert done.status == 1
    assert re.search(r"dsasim: error: model_output: layer 0 head 1 row \d+: rel\. L2 [\d.]+, gate 0\.01", done.err)
    assert json.loads(report.read_text())["status"] == "failed"


def test_a_changed_weight_ends_with_1(dsasim: Callable, root: Path, tmp_path: Path) -> None:
    trace = corrupt(root, tmp_path, "layer.5.sigma.0.25.w_q", (0, 7, 2), 50.0)
    done = dsasim("validate", "dsa-decoupled", trace, *SELECTED[2:])
    assert done.status == 1
    assert "error: predictor_weights: layer 5 head 0 W~q column 2 at" in done.err


@pytest.mark.parametrize("tensor", ["layer.0.k", "layer.0.v", "layer.0.out"])
def test_nan_in_the_trace_ends_with_1(tensor: str, dsasim: Callable, root: Path, tmp_path: Path) -> None:
    trace = corrupt(root, tmp_path, tensor, (1, 5, 3), np.nan)
    done = dsasim("validate", "dsa-decoupled", trace, *SELECTED[2:])
    assert done.status == 1
    assert f"operands: {tensor} head 1 at [5, 3] is NaN or Inf" in done.err.replace(f"{trace}: ", "")
    assert "Traceback" not in done.err


BAD = {
    "layer": (("--layers", "9"), "--layers 9"),
    "head": (("--heads", "12"), "--heads 12"),
    "page to stdout": (("--report", "-"), "--report -"),
    "no folder": (("--json", "/no/such/folder/r.json"), "--json /no/such/folder/r.json"),
    "sigma": (("--set", "predictor.sigma=0.3"), "no weights for 0.3"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_ends_with_2(arguments: tuple, message: str, dsasim: Callable) -> None:
    done = dsasim("validate", "dsa-decoupled", "minilm-l128", *arguments)
    assert (done.status, "Traceback" in done.err) == (2, False)
    assert message in done.err


def test_without_torch_one_line_names_the_command(dsasim: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    sound = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else sound(name, *rest)
    )
    done = dsasim("validate")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert 'pip install "dsasim[torch]"' in done.err


def test_a_mask_that_keeps_what_is_not_allowed_ends_with_1(dsasim: Callable, tmp_path: Path) -> None:
    """One bit above the diagonal of a causal layer: named by layer, head, row and key."""
    keep = np.tril(np.ones((2, 50, 50), dtype=bool))
    keep[1, 7, 30] = True
    path = tmp_path / "masks.safetensors"
    layer = MaskArrays(4, pack_bits(keep), 50, 16, 2, causal=True)
    write_trace(path, [layer], kind="mask", model="m", provenance={})
    done = dsasim("validate", "dsa-decoupled", str(path))
    assert done.status == 1
    words = "layer 4 head 1: the keep mask keeps 1 position that is not allowed, the first row 7 key 30"
    assert f"operands: {words}" in done.err.replace(f"{path}: ", "")


def test_every_report_says_what_it_cannot_validate(dsasim: Callable, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    done = dsasim("validate", *SELECTED, "--report", str(page))
    for text in (done.out, page.read_text()):
        assert "can validate is the accelerator" in " ".join(text.split())
