"""`dsasim report` and `dsasim run --report`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dsasim.inputs.printable import printable

pytest.importorskip("plotly")

SMALL = ("dsa-decoupled", "smollm2-l512", "--layers", "24", "--heads", "0")


@pytest.fixture
def result(root: Path) -> str:
    """A result on file."""
    return str(root / "tests" / "golden" / "runs" / "dsa-edge_minilm-l128.json")


def test_a_run_draws_itself_and_changes_nothing_else(dsasim: Callable, tmp_path: Path) -> None:
    alone, page, beside, timeline = (tmp_path / name for name in ("a.json", "p.html", "b.json", "t.json"))
    plain = dsasim("run", *SMALL, "--json", str(alone))
    drawn = dsasim(
        "run", *SMALL, "--report", str(page), "--json", str(beside), "--timeline", str(timeline), "--mask-heads", "13:2"
    )
    assert (drawn.status, drawn.err, drawn.out) == (0, "", plain.out)
    assert beside.read_bytes() == alone.read_bytes()
    assert json.loads(timeline.read_text(encoding="utf-8"))["traceEvents"]
    text = page.read_text(encoding="utf-8")
    assert 'id="busy-over-time"' in text and 'id="mask-13-2"' in text
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "p.html", "b.json", "t.json"}


def test_a_run_draws_itself_the_same_again(dsasim: Callable, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        assert dsasim("run", *SMALL, "--report", str(tmp_path / name)).status == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_result_on_file(dsasim: Callable, tmp_path: Path, result: str) -> None:
    out = tmp_path / "r.html"
    assert dsasim("report", result, "--out", str(out), "--trace", "minilm-l128", "--mask-heads", "0:3,5:1").err == ""
    text = out.read_text(encoding="utf-8")
    assert "<h1>dsa-edge on minilm-l128 (real, all-MiniLM-L6-v2; " in text
    assert 'id="mask-0-3"' in text and 'id="mask-5-1"' in text
    assert "`dsasim run --report F.html` looks on while it runs" in text


def test_a_sweep(dsasim: Callable, tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "base: dsa-decoupled\ntraces: {trace: smollm2-l512, layers: 24, heads: 0}\n"
        "axes: {pe_array.lanes: [2, 3, 4]}\nobjectives: [cycles, area_mm2]\n",
        encoding="utf-8",
    )
    assert dsasim("sweep", str(spec), "--out", str(tmp_path / "s"), "--workers", "1").status == 0
    assert dsasim("report", str(tmp_path / "s"), "--out", str(tmp_path / "s.html")).err == ""
    assert "Sweep of dsa-decoupled on smollm2-l512" in (tmp_path / "s.html").read_text(encoding="utf-8")
    path = tmp_path / "s" / "results.jsonl"
    first, _, last = path.read_bytes().splitlines(keepends=True)
    warned = {
        first + last: f"{path}: has 2 rows, of at least 3: the sweep is under way, or is to be finished with --resume",
        first + last[:-1]: f"{path}:2: breaks off: the sweep is under way, or is to be finished with --resume",
    }
    for text, words in warned.items():
        path.write_bytes(text)
        done = dsasim("report", str(tmp_path / "s"), "--out", str(tmp_path / "s.html"))
        assert (done.status, done.err) == (0, f"dsasim: warning: {words}\n")
        assert f'<div class="warning">{words}' in (tmp_path / "s.html").read_text(encoding="utf-8")


BAD = {
    "no file": (("nowhere.json", "--out", "r.html"), "nowhere.json: cannot be read: no such file or directory"),
    "not a result": (("RUN", "--out", "r.html"), "not the result of a run"),
    "stdout's folder": (("RESULT", "--out", "nowhere/r.html"), "--out nowhere/r.html: cannot be written"),
    "heads without a trace": (("RESULT", "--out", "r.html", "--mask-heads", "0:1"), "name it with --trace"),
    "another trace": (("RESULT", "--out", "r.html", "--trace", "smollm2-l512"), "the run was on another trace"),
    "no such head": (
        ("RESULT", "--out", "r.html", "--trace", "minilm-l128", "--mask-heads", "0:99"),
        "layer 0 has no head 99",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_message(
    dsasim: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    result: str,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.json").write_text('{"schema_version": 1}', encoding="utf-8")
    places = {"RUN": "run.json", "RESULT": result}
    done = dsasim("report", *(places.get(argument, argument) for argument in arguments))
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("dsasim: error: ")
    assert message in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "loop", "folder/r.json", "a\0b", "x" * 5000, "pipe.jsonl"])
def test_what_cannot_be_read_is_one_message_at_once(
    dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for pipe in ("pipe", "pipe.jsonl"):
        os.mkfifo(pipe)
    Path("loop").symlink_to("loop")
    Path("folder").symlink_to("/proc/self/fdinfo/none")
    before = sorted(path.name for path in tmp_path.iterdir())
    for command in (("report", name, "--out", "r.html"), ("run", *SMALL, "--gpu-profile", name, "--report", "r.html")):
        done = dsasim(*command)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done.err
        assert printable(name) in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


AS_NOBODY = """
import os, sys
from dsasim.errors import ConfigError
from dsasim.report.html.inputs import read_input
os.setuid(65534)
try:
    read_input(sys.argv[1])
except ConfigError as error:
    print(error.exit_status, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_result_in_a_folder_that_may_not_be_read_ends_with_2(tmp_path: Path, result: str) -> None:
    """As another user, for root may read everything."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    shutil.copy(result, hidden / "r.json")
    hidden.chmod(0o700)
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, hidden / "r.json"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("2 ")
    assert "cannot be read: permission denied" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--report", "-"), "--report -: a page is written to a file"),
        (("--report", "no/r.html"), "--report no/r.html: cannot be written"),
        (("--mask-heads", "24:0"), "--mask-heads is a part of --report FILE"),
        (("--report", "r.html", "--mask-heads", "7:0"), "has no layer 7"),
    ],
)
def test_bad_options_of_a_run(
    dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = dsasim("run", *SMALL, *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


def test_without_plotly_the_extra_is_named(
    dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: str
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    for arguments in (("report", result, "--out"), ("run", *SMALL, "--report")):
        done = dsasim(*arguments, str(tmp_path / "r.html"))
        assert (done.status, done.out) == (2, "")
        assert done.err == 'dsasim: error: a report needs the extra report: pip install "dsasim[report]"\n'
    assert list(tmp_path.iterdir()) == []
