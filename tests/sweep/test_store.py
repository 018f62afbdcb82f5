"""The results file: whatever happens to it, whole rows survive."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dsasim.errors import ConfigError, DsasimError
from dsasim.sweep import load_sweep
from dsasim.sweep.proof import signed
from dsasim.sweep.store import RESULTS, ResultStore


def row(number: int, sweep: str = "a", text: str = "") -> dict:
    return {"point": number, "sweep_sha256": sweep, "text": text}


def append(store: ResultStore, row: dict) -> None:
    store.append(row["point"], signed(row))


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
    assert store.line(2) == signed(row(2, text="µµ"))
    assert store.finish([1, 2, 3]) == []
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
    assert store.finish([1, 2]) == []
    assert numbers(tmp_path) == [1, 2]


BROKEN = {
    "missing keys": b'{"point": 2}\n',
    "a list for its number": b'{"point": [1]}\n',
    "a text for its number": b'{"point": "x"}\n',
    "deep": b"[" * 100_000 + b"\n",
    "empty": b"\n",
    "not text": b"\xff\x00\n",
    "edited": signed(row(3)).replace(b'"text":""', b'"text":"x"'),
    "without its digest": signed(row(3))[:-81] + b"}\n",
    "signed, a text for its number": signed({"point": "x", "sweep_sha256": "a"}),
    "signed, a list for its number": signed({"point": [1], "sweep_sha256": "a"}),
    "signed, with a fraction": signed({"point": 1.5, "sweep_sha256": "a"}),
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
def test_a_broken_line_elsewhere_is_named_and_not_kept(tmp_path: Path, line: bytes) -> None:
    filled(tmp_path, 1).close()
    path = tmp_path / RESULTS
    path.write_bytes(path.read_bytes() + line + signed(row(2)))
    with pytest.raises(ConfigError, match=f"{RESULTS}:2: is not a row"):
        load_sweep(tmp_path)
    named: list[str] = []
    store = ResultStore(tmp_path, "a", resume=True, warn=named.append)
    which = re.match(rb'\{"point":([0-9]+),', line)
    named_as = f"point {int(which[1])}" if which else "its point"
    assert named == [f"{path}:2: is not as a sweep wrote it: {named_as} is made anew"]
    assert (1 in store, 2 in store, len(store)) == (True, True, 2)
    append(store, row(3))
    assert store.finish([1, 2, 3]) == []
    assert path.read_bytes() == b"".join(signed(row(number, text="µ" * (number == 1))) for number in (1, 2, 3))


def test_a_row_of_no_point_is_named_and_left_out(tmp_path: Path) -> None:
    filled(tmp_path, 1, 1000).close()
    named: list[str] = []
    store = ResultStore(tmp_path, "a", resume=True, warn=named.append)
    assert store.finish([1]) == []
    assert ["row of point 1000 is of no point of this sweep" in line for line in named] == [True]
    assert numbers(tmp_path) == [1]


def test_a_point_with_two_rows_is_refused_by_readers_and_has_one_after_resuming(tmp_path: Path) -> None:
    filled(tmp_path, 1).close()
    path = tmp_path / RESULTS
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(ConfigError, match=f"{RESULTS}:2: point 1 has a row already"):
        load_sweep(tmp_path)
    named: list[str] = []
    assert ResultStore(tmp_path, "a", resume=True, warn=named.append).finish([1]) == []
    assert named == [f"{path}:2: point 1 has a row already: this one is left out"]
    assert numbers(tmp_path) == [1]


@pytest.mark.parametrize("change", ["cut", "edited", "replaced", "deleted"])
def test_a_file_that_changes_under_the_store_is_found_out(tmp_path: Path, change: str) -> None:
    """Of a cut file the lost rows are told; what another process wrote over the name is not taken for ours."""
    named: list[str] = []
    store = ResultStore(tmp_path, "a", resume=False, warn=named.append)
    path = tmp_path / RESULTS
    for number in (1, 2, 3):
        append(store, row(number))
    whole = path.read_bytes()
    if change == "cut":
        os.truncate(path, len(whole) // 2)
    elif change == "edited":
        with path.open("r+b") as file:
            file.write(whole.replace(b'"point":2', b'"point":7'))
    else:
        path.unlink()
    if change == "replaced":
        path.write_bytes(whole.replace(b'"point":2', b'"point":7'))
    append(store, row(4))
    lost = {"cut": [2, 3], "edited": [2]}.get(change, [])
    assert store.finish([1, 2, 3, 4]) == lost
    assert named == [f"{path}: the row of point {at} has changed since it was written: it is made anew" for at in lost]
    for number in lost:
        append(store, row(number))
    assert not lost or store.finish([1, 2, 3, 4]) == []
    assert path.read_bytes() == whole + signed(row(4))
    assert [each.name for each in tmp_path.iterdir()] == [RESULTS]


def test_a_folder_that_was_deleted_is_said_so(tmp_path: Path) -> None:
    store = filled(tmp_path / "out", 1)
    shutil.rmtree(tmp_path / "out")
    for step in (lambda: append(store, row(2)), lambda: store.finish([1])):
        with pytest.raises(DsasimError, match="out: was deleted while the sweep ran, and its rows with it"):
            step()
    store.close()


def test_a_sweep_begun_where_ours_was_deleted_is_left_alone(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    (tmp_path / RESULTS).unlink()
    other = filled(tmp_path, 2)
    with pytest.raises(ConfigError, match="another sweep is writing it"):
        store.finish([1])
    store.close()
    other.close()
    assert numbers(tmp_path) == [2]


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
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "a\0b", "x" * 300):
        with pytest.raises(ConfigError, match="cannot be written: "):
            ResultStore(tmp_path / name, "a", resume=True)
    with pytest.raises(ConfigError, match="cannot be read: no such file"):
        load_sweep(tmp_path / "nothing")


def test_rows_are_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / RESULTS)
    for resume in (False, True):
        with pytest.raises(ConfigError, match="is a pipe or a device"):
            ResultStore(tmp_path, "a", resume=resume)
    with pytest.raises(ConfigError, match="is a pipe or a device"):
        load_sweep(tmp_path)


def test_rows_of_before_digests_are_refused(tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_text('{"point":1,"sweep_sha256":"before"}\n')
    with pytest.raises(ConfigError, match="is of another sweep, or of another dsasim"):
        ResultStore(tmp_path, "a", resume=True)
    with pytest.raises(ConfigError, match="1: is not a row of a sweep: it has no digest, as rows of earlier versions"):
        load_sweep(tmp_path)


FULL = """
import json, resource, signal, sys
from pathlib import Path
from dsasim.errors import DsasimError
from dsasim.sweep.proof import signed
from dsasim.sweep.store import ResultStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1200, 1200))
store = ResultStore(Path(sys.argv[1]), "a", resume=False)
try:
    for number in range(10):
        row = {"point": number, "sweep_sha256": "a", "text": "x" * 250}
        store.append(number, signed(row))
except DsasimError as error:
    print(error)
"""


def test_a_full_disk_leaves_whole_rows_and_says_what_to_do(tmp_path: Path) -> None:
    """The file may hold 1200 bytes: three rows of about 370."""
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert "its 3 rows are whole: make room and go on with --resume" in done.stdout
    lines = (tmp_path / RESULTS).read_text().splitlines()
    assert [json.loads(line)["point"] for line in lines] == [0, 1, 2]
