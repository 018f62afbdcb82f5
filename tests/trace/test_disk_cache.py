"""The cache on disk: whole entries or none, whoever writes, and never more than its limit."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from dsasim.trace import disk_cache
from dsasim.trace.disk_cache import DiskCache, user_cache

ARRAYS = {"keys": np.arange(5, dtype=np.int32), "none": np.empty(0, np.int64)}
BIG = 1 << 30


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_what_was_stored_is_loaded_and_may_be_handed_to_kernels(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "made", BIG, "trace")
    assert cache.load("a") is None
    cache.store("a", ARRAYS)
    found = DiskCache(tmp_path / "made", BIG, "trace").load("a")
    assert found is not None
    assert {name: (array.dtype, array.tolist()) for name, array in found.items()} == {
        "keys": (np.int32, [0, 1, 2, 3, 4]),
        "none": (np.int64, []),
    }
    assert found["keys"].flags.writeable  # Numba compiles anew for read-only arrays


def test_other_keys_traces_and_code_are_other_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DiskCache(tmp_path, BIG, "trace").store("a", ARRAYS)
    assert DiskCache(tmp_path, BIG, "trace").load("b") is None
    assert DiskCache(tmp_path, BIG, "other").load("a") is None
    monkeypatch.setattr(disk_cache, "code_digest", lambda: "edited")
    assert DiskCache(tmp_path, BIG, "trace").load("a") is None


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_a_damaged_entry_is_removed(tmp_path: Path, damage: str) -> None:
    cache = DiskCache(tmp_path, BIG, "trace")
    cache.store("a", ARRAYS)
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    elif damage == "swap":  # a whole entry under another's name
        cache.store("b", ARRAYS)
        content = bytearray(next(entry for entry in entries(tmp_path) if entry != path).read_bytes())
    else:
        content = content[: len(content) // 2 if damage == "cut" else 0]
    path.write_bytes(content)
    assert cache.load("a") is None
    assert not path.exists()
    cache.store("a", ARRAYS)
    assert cache.load("a") is not None


def test_the_entries_unused_longest_go_first(tmp_path: Path) -> None:
    """Entries of about 1.2 kB under a limit of 32 kB: looked at after every 2 kB, so at most 34 kB and one entry."""
    limit = 32_000
    cache = DiskCache(tmp_path, limit, "trace")
    value = {"x": np.zeros(1100, np.uint8)}
    for number in range(60):
        cache.store(str(number), value)
        for age, path in enumerate(sorted(entries(tmp_path), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(path, ns=(age, age))  # times of a fast machine may be equal
        assert cache.load("0") is not None, number  # used all along
        assert sum(path.stat().st_size for path in entries(tmp_path)) < limit * 17 / 16 + 1300
    assert cache.load("1") is None
    assert cache.load("59") is not None


def test_an_entry_larger_than_its_share_is_not_kept(tmp_path: Path) -> None:
    DiskCache(tmp_path / "c", 1000, "trace").store("a", ARRAYS)
    assert not (tmp_path / "c").exists()


def _hammer(folder: Path, at: int) -> None:
    cache = DiskCache(folder, 40_000, "trace")
    for number in range(150):
        key = (number * 7 + at) % 40
        found = cache.load(str(key))
        assert found is None or (found["x"] == key).all()
        cache.store(str(key), {"x": np.full(1000, key, np.uint8)})


def test_writers_and_readers_at_once(tmp_path: Path) -> None:
    """Four processes store, load and evict the same entries."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_hammer, args=(tmp_path, at)) for at in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert not [path for path in entries(tmp_path) if path.name.endswith(".part")]
    assert sum(path.stat().st_size for path in entries(tmp_path)) < 40_000 * (1 + 4 / 16) + 4 * 1200


@pytest.mark.parametrize("folder", ["/dev/null/cache", "/proc/cache", "/dev/full"])
def test_a_folder_that_cannot_be_is_no_error(folder: str) -> None:
    cache = DiskCache(Path(folder), BIG, "trace")
    cache.store("a", ARRAYS)
    assert cache.load("a") is None


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSASIM_CACHE_DIR", "")
    assert user_cache("trace") is None
    monkeypatch.delenv("DSASIM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = user_cache("trace")
    assert cache is not None
    cache.store("a", ARRAYS)
    assert len(entries(tmp_path / "dsasim")) == 1
