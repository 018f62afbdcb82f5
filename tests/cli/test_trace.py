"""`dsasim trace`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """Two layers of four heads that keep a quarter of the keys."""
    kept = np.zeros((2, 4, 8, 8), bool)
    kept[..., :2] = True
    path = tmp_path / "m.npy"
    np.save(path, kept)
    return path


def test_info_describes_the_default_trace(dsasim: Callable) -> None:
    done = dsasim("trace", "info")
    assert done.status == 0
    for words in ("smollm2-l512 (real, ", "self, causal", "95% of the mass", "sha256"):
        assert words in done.out
    assert max(map(len, done.out.split("\n"))) <= 100


def test_a_mask_becomes_a_trace(dsasim: Callable, mask: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.safetensors"
    arguments = ("--d-head", "16", "--out", str(out), "--kv-heads", "2")
    assert dsasim("trace", "import-mask", str(mask), *arguments).out == f"wrote {out}\n"
    done = dsasim("trace", "info", str(out))
    assert "kept by the mask" in done.out
    assert "25.0 %" in done.out


BAD = {
    "unknown": (("info", "nowhere"), "nowhere"),
    "design": (("info", "dsa-edge"), "'dsa-edge' is a design, not a trace"),
    "design file": (("info", "x.yaml"), "a YAML design where a trace"),
    "missing": (("info", "x.safetensors"), "no such file"),
    "text": (("info", __file__), "not a trace"),
    "mask missing": (("import-mask", "x.npy", "--d-head", "8", "--out", "t.safetensors"), "x.npy"),
    "mask is text": (("import-mask", __file__, "--d-head", "8", "--out", "t.safetensors"), "not a NumPy array file"),
    "unwritable": (
        ("import-mask", "x.npy", "--d-head", "8", "--out", "no/t.safetensors"),
        "--out no/t.safetensors: cann",
    ),
    "stdout": (("import-mask", "x.npy", "--d-head", "8", "--out", "-"), "a trace is written to a file"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_message_and_status_2(
    dsasim: Callable, arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = dsasim("trace", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
