"""What a validation says it was made with."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from dsasim.validate import provenance


def test_the_source_s_digest_follows_its_text_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed line, a renamed file and a new one each give another; what is not source gives none."""
    (tmp_path / "sub").mkdir()
    monkeypatch.setattr(provenance.resources, "files", lambda _: tmp_path)

    def digest() -> str:
        return provenance.source_sha256.__wrapped__()

    seen = [digest()]
    (tmp_path / "sub" / "a.py").write_text("x = 1\n")
    seen.append(digest())
    (tmp_path / "sub" / "a.py").write_text("x = 2\n")
    seen.append(digest())
    (tmp_path / "sub" / "a.py").rename(tmp_path / "sub" / "b.py")
    seen.append(digest())
    (tmp_path / "notes.md").write_text("no source")
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "make.py").write_text("only in a wheel")
    assert len(set(seen)) == 4
    assert digest() == seen[-1]


def test_versions_are_those_that_compute() -> None:
    assert {"dsasim", "python", "torch", "numpy", "numba"} <= set(provenance.versions())
    assert re.fullmatch("[0-9a-f]{64}", provenance.source_sha256())
