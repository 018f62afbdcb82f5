"""Capturing without PyTorch: one line that names the pip command."""

import importlib

import pytest

from dsasim import TraceError, capture


@pytest.fixture
def no_torch(monkeypatch):
    real = importlib.import_module

    def imported(name, package=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, package)

    monkeypatch.setattr("dsasim.trace.capture.import_module", imported)


def test_from_python(no_torch):
    with pytest.raises(TraceError, match=r"needs torch, which is not installed: pip install 'dsasim\[torch\]'"):
        capture(None)


def test_from_the_command_line(no_torch, dsasim, tmp_path):
    ended = dsasim("trace", "extract", "m:f", "--out", str(tmp_path / "t.safetensors"))
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert "pip install torch==2.13.0" in ended.err
