"""A container with a random user id: no home, no name, an install that cannot be written; every command runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from compile_kernels import compile_all

from dsasim.kernels import jit
from dsasim.trace.notes import PATTERN_NOTES

NOBODY = 12345
"""A user id that no /etc/passwd knows."""
READ_ONLY_ROOT = "dac_read_search"
"""The right to read what is only root's, such as an interpreter in root's home; not to write there."""
COMMANDS = """
--help
--version
arch list
arch check dsa-edge
run dsa-edge minilm-l128 --layers 2 --heads 0 --json run.json --report run.html --timeline run.trace.json
compare dsa-edge dense-16x16 --trace minilm-l128 --layers 2 --heads 0
report run.json --out again.html
trace info minilm-l128
trace synth --pattern window --length 32 --out synthetic.safetensors
trace import-mask masks.npy --d-head 16 --out mask.safetensors
trace compare minilm-l128 minilm-l128
dram requests.csv --preset DDR4_3200 --mapping row-bank-bankgroup-column-channel
sweep space.yaml --workers 2
report space-results --out space.html
"""
SPACE = """
base: dsa-edge
traces: {trace: minilm-l128, layers: 2, heads: 0}
axes: {pe_array.lanes: [1, 2]}
objectives: [cycles, energy_pj]
"""
SCRIPT = """
import sys
from dsasim.cli import main

if __name__ == "__main__":
    for line in sys.stdin:
        sys.argv = ["dsasim", *line.split()]
        try:
            main()
        except SystemExit as end:
            if end.code:
                sys.exit(f"{line.strip()}: {end.code}")
"""


def stripped() -> list[str]:
    """What a command line starts with to be a nobody; skips where that cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("only root can take on a user id that has no name")
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv (util-linux)")
    rights = [f"--{kind}-caps=-all,+{READ_ONLY_ROOT}" for kind in ("inh", "ambient")]
    command = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *rights]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this root may not hand on a capability")
    return command


@pytest.fixture
def nobody(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run Python as a user without home, name or a writable install, who has a folder to work in and one like /tmp."""
    prefix = stripped()
    for name in ("work", "tmp"):
        (tmp_path / name).mkdir()
    os.chown(tmp_path / "work", NOBODY, NOBODY)
    (tmp_path / "tmp").chmod(0o1777)
    gone = ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "DSASIM_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    environment |= {"TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(code: str, text: str = "", **variables: str) -> subprocess.CompletedProcess:
        script = tmp_path / "script.py"  # a file, for what the sweep spawns imports it again
        script.write_text(code)
        return subprocess.run(
            [*prefix, sys.executable, "-B", script],
            check=False, capture_output=True, text=True, input=text, cwd=tmp_path / "work", env=environment | variables,
        )  # fmt: skip

    return run


def test_every_command_runs(nobody: Callable[..., subprocess.CompletedProcess], tmp_path: Path) -> None:
    """With the kernels that a run before left in this user's temporary folder."""
    assert jit.CACHE is not None
    compile_all()
    left = tmp_path / "tmp" / f"dsasim-{NOBODY}" / jit.CACHE.name
    shutil.copytree(jit.CACHE, left, dirs_exist_ok=True)
    for path in (left.parent, left, *left.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    left.parent.chmod(0o700)
    work = tmp_path / "work"
    (work / "space.yaml").write_text(SPACE)
    (work / "requests.csv").write_text("op,addr,not_before\nR,0,0\nW,131072,0\n")
    np.save(work / "masks.npy", np.tri(16, dtype=np.bool_)[None, None])
    done = nobody(SCRIPT, COMMANDS.strip() + "\n")
    assert done.stderr == f"dsasim: warning: synthetic: {PATTERN_NOTES['window']}\n"
    assert done.returncode == 0
    made = {"run.json", "run.html", "run.trace.json", "again.html", "synthetic.safetensors", "mask.safetensors"}
    made |= {"space-results", "space.html"}
    assert {path.name for path in work.iterdir()} == made | {"space.yaml", "requests.csv", "masks.npy"}
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [f"dsasim-{NOBODY}"]


CACHED = """
import numpy as np
from dsasim.kernels import bits, jit
bits.true_keys(np.ones((1, 1), np.bool_))
print(jit.CACHE, sum(bits.true_keys.stats.cache_hits.values()))
"""
NO_SHARED_MEMORY = """
from pathlib import Path
from dsasim import folders
folders.SHARED_MEMORY = Path("/none")
"""


def test_kernels_are_kept_for_the_next_run(nobody: Callable[..., subprocess.CompletedProcess], tmp_path: Path) -> None:
    assert jit.CACHE is not None
    folder = tmp_path / "tmp" / f"dsasim-{NOBODY}" / jit.CACHE.name
    first, second = (nobody(CACHED) for _ in range(2))
    assert (first.stderr, second.stderr) == ("", "")
    assert (first.stdout, second.stdout) == (f"{folder} 0\n", f"{folder} 1\n")


def test_what_somebody_planted_is_not_used(nobody: Callable[..., subprocess.CompletedProcess], tmp_path: Path) -> None:
    """Nor a home that is closed: kernels are kept for this process, in a folder that is gone after it."""
    planted = tmp_path / "tmp" / f"dsasim-{NOBODY}"
    planted.mkdir()
    planted.chmod(0o777)
    (tmp_path / "home").mkdir(mode=0)
    done = nobody(NO_SHARED_MEMORY + CACHED, HOME=str(tmp_path / "home"))
    assert done.stderr == ""
    folder, hits = done.stdout.split()
    assert Path(folder).parent == tmp_path / "tmp"
    assert (hits, list((tmp_path / "tmp").iterdir())) == ("0", [planted])
