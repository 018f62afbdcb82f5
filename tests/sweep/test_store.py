"""The results file: whatever happens to it, whole rows survive."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dsasim.errors import ConfigError
from dsasim.sweep.store import RESULTS, ResultStore, load_sweep


def row(number: int, sweep: str = "a", text: str = "") -> dict:
    return {"point": number, "sweep_sha256": sweep, "text": text}


def append(store: ResultStore, row: dict) -> None:
    store.append(row["point"], (json.dumps(row, ensure_ascii=False) + "\n").encode())


def numbers(folder: Path) -> list[int]:
    return [found["point"] for found in load_sweep(folder)]


def filled(folder: Path, *points: int) -> ResultStore:
    store = ResultStore(folder, "a", resume=False)
    for number in points:
        append(store, row(number, text="µ" * number))
    return store


def test_rows_are_there_as_they_come_and_ordered_at_the_end(tmp_path: Path) -> None:
    store = filled(tmp_path, 3, 1, 2)
    assert numbers(tmp_path) == [3, 1, 2]
    assert (1 in store, 4 in store, len(store)) == (True, False, 3)
    assert store.row(2)["text"] == "µµ"
    store.finish()
    assert numbers(tmp_path) == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == [RESULTS]


@pytest.mark.parametrize("cut", [1, 2, 10, 40])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    filled(tmp_path, 1, 2).close()
    path = tmp_path / RESULTS
    path.write_bytes(path.read_bytes()[:-cut])
    store = ResultStore(tmp_path, "a", resume=True)
    assert (1 in store, 2 in store) == (True, False)
    append(store, row(2))
    store.finish()
    assert numbers(tmp_path) == [1, 2]


def test_a_broken_line_elsewhere_is_an_error(tmp_path: Path) -> None:
    filled(tmp_path, 1).close()
    path = tmp_path / RESULTS
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"point": 2}\n' + whole)
    with pytest.raises(ConfigError, match=f"{RESULTS}:2: is not a row of a sweep"):
        ResultStore(tmp_path, "a", resume=True)
    assert path.read_bytes().startswith(whole + b'{"point": 2}\n')
    with pytest.raises(ConfigError, match=f"{RESULTS}:2: is not a row of a sweep"):
        load_sweep(tmp_path)


def test_results_are_not_overwritten_nor_mixed(tmp_path: Path) -> None:
    filled(tmp_path, 1).close()
    with pytest.raises(ConfigError, match="has results already: go on with --resume"):
        ResultStore(tmp_path, "a", resume=False)
    with pytest.raises(ConfigError, match="is of another sweep"):
        ResultStore(tmp_path, "b", resume=True)
    assert numbers(tmp_path) == [1]


def test_two_sweeps_cannot_write_one_file(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    with pytest.raises(ConfigError, match="another sweep is writing it"):
        ResultStore(tmp_path, "a", resume=True)
    append(store, row(2))
    store.close()
    with pytest.raises(ConfigError, match="of another sweep"):
        ResultStore(tmp_path, "b", resume=True)
    resumed = ResultStore(tmp_path, "a", resume=True)
    assert len(resumed) == 2
    resumed.close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written: file exists"):
        ResultStore(tmp_path / "file", "a", resume=False)
    with pytest.raises(ConfigError, match="cannot be read: no such file"):
        load_sweep(tmp_path / "nothing")


FULL = """
import json, resource, signal, sys
from pathlib import Path
from dsasim.errors import DsasimError
from dsasim.sweep.store import ResultStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
store = ResultStore(Path(sys.argv[1]), "a", resume=False)
try:
    for number in range(10):
        row = {"point": number, "sweep_sha256": "a", "text": "x" * 250}
        store.append(number, f"{json.dumps(row)}\\n".encode())
except DsasimError as error:
    print(error)
"""


def test_a_full_disk_leaves_whole_rows_and_says_what_to_do(tmp_path: Path) -> None:
    """The file may hold 1000 bytes: three rows of about 300."""
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert "its 3 rows are whole: make room and go on with --resume" in done.stdout
    lines = (tmp_path / RESULTS).read_text().splitlines()
    assert [json.loads(line)["point"] for line in lines] == [0, 1, 2]
