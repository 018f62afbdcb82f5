"""Every file that a command writes is named as its format is, or refused before anything is computed."""

from collections.abc import Callable
from pathlib import Path

import pytest

WRONG = {
    "timeline": (("run", "--timeline", "x.txt"), "--timeline x.txt", ".json or .json.gz"),
    "page of a run": (("run", "--report", "r.txt"), "--report r.txt", ".html or .htm"),
    "page of a result": (("report", "r.json", "--out", "r.json"), "--out r.json", ".html or .htm"),
    "page of checks": (("validate", "--report", "r.pdf"), "--report r.pdf", ".html or .htm"),
    "profile": (("validate", "--profile", "p.yaml"), "--profile p.yaml", ".json"),
    "times": (("validate", "--trend", "--csv", "t.xlsx"), "--csv t.xlsx", ".csv"),
    "drawing of masks": (("trace", "compare", "a", "b", "--plot", "p.png"), "--plot p.png", ".svg"),
    "drawing of quality": (("trace", "evaluate", "m", "t", "--plot", "p.png"), "--plot p.png", ".svg"),
    "trace of a rule": (("trace", "synth", "--pattern", "window", "--out", "t.npy"), "--out t.npy", ".safetensors"),
    "trace of masks": (("trace", "import-mask", "m.npy", "--d-head", "8", "--out", "t"), "--out t", ".safetensors"),
    "trace of a model": (("trace", "extract", "m:f", "--out", "t.pt"), "--out t.pt", ".safetensors"),
    "fitted trace": (("trace", "fit-predictor", "minilm-l128", "--out", "t.txt"), "--out t.txt", ".safetensors"),
}


@pytest.mark.parametrize(("arguments", "named", "allowed"), WRONG.values(), ids=WRONG)
def test_a_name_of_another_format_is_refused(
    dsasim: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    named: str,
    allowed: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = dsasim(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"dsasim: error: {named}: the file's name must end in {allowed}\n"
    assert list(tmp_path.iterdir()) == []
