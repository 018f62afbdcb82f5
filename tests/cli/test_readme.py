"""What README and docs/ show works, and what it says was measured is what is on file."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
BLOCKS = [(page, *block) for page in PAGES for block in re.findall(r"```(sh|python)\n(.*?)```", PAGES[page], re.DOTALL)]
RUNS = ROOT / "tests" / "golden" / "runs"


def lines(block: str) -> list[str]:
    """Commands of a shell block; those that make an environment are the gate's to try (.ci/run)."""
    return [line for line in block.strip().split("\n") if not re.match(r"python3 -m venv|\. ", line)]


def run_python(command: list[str]) -> None:
    """`python examples/…` as from the checkout, in this folder."""
    subprocess.run([sys.executable, ROOT / command[1], *command[2:]], check=True)


def test_every_snippet_runs_in_its_order(
    dsasim: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    for page, kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, page, "exec"), {})
            ran += 1
            continue
        for line in lines(block):
            command, _, target = line.partition(" > ")
            words = shlex.split(command)
            ran += 1
            if words[0] == "python":
                run_python(words)
                continue
            assert words[0] == "dsasim", line
            done = dsasim(*words[1:])
            assert (done.status, done.err) == (0, ""), line
            if target:
                Path(target).write_text(done.out, encoding="utf-8")
    assert ran > 10
    assert (tmp_path / "run.svg").read_bytes() == (ROOT / "examples" / "default_run.svg").read_bytes()


def test_the_gate_finds_the_test_command() -> None:
    """`.ci/run` runs the one line of the first block under `## Test`."""
    block = README.split("\n## Test\n")[1].split("```sh\n")[1].split("\n```")[0]
    made = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]'"
    assert block == f"{made} && .venv/bin/pytest -n auto --dist worksteal"


def test_the_result_shown_is_the_result_printed(dsasim: Callable[..., Any]) -> None:
    """The block under `What it says` is the head of what the default run prints."""
    shown = README.split("\n## What it says\n")[1].split("```\n")[1].strip().split("\n")
    printed = [line.rstrip() for line in dsasim("run").out.split("\n")]
    assert printed[1 : 1 + len(shown)] == shown


@pytest.mark.parametrize("design", ["dsa-decoupled", "dsa-coupled", "dsa-edge", "dense-16x16"])
def test_the_table_of_other_runs_is_that_on_file(design: str) -> None:
    run = json.loads((RUNS / f"{design}_minilm-l128.json").read_text(encoding="utf-8"))
    baseline, iso_area = run["baseline"], run["baseline"]["iso_area"]
    (row,) = (line for line in README.split("\n") if line.startswith(f"| `{design}`"))
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        f"{run['cycles']:,}",
        f"{baseline['speedup_vs_dense']:.2f}x",
        f"{iso_area['speedup_ratio']:.2f}x" if iso_area else "",
        f"{baseline['energy_vs_dense_ratio']:.2f}x",
        f"{run['quality']['captured_mass_ratio']:.3f}",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page == "README.md" else ROOT / "docs"
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGES[page]):
        assert target.startswith("https://") or (folder / target).exists(), target
