"""Which folders are there, can be written, and are nobody else's."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsasim import folders

NOBODY = 12345
needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can make others' folders")


def test_the_users_cache_is_where_xdg_says_or_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert folders.user_cache() == Path("/elsewhere")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert folders.user_cache() == Path("/home/somebody/.cache")


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_a_folder_that_depends_on_where_one_stands_is_none(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, "~" if variable == "HOME" else "relative")
    assert folders.user_cache() is None


def test_a_user_without_home_and_name_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert folders.user_cache() is None


def test_a_folder_is_made_for_its_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert folders.can_be_written(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert folders.is_private(tmp_path / "a" / "b")


def test_a_file_a_loop_and_a_null_device_cannot_be_written_into(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert not any(folders.can_be_written(path) for path in (tmp_path / "file", tmp_path / "loop", Path(os.devnull)))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_not_private(tmp_path: Path, mode: int) -> None:
    (tmp_path / "mine").mkdir()
    assert folders.is_private(tmp_path / "mine")
    (tmp_path / "mine").chmod(mode)
    assert not folders.is_private(tmp_path / "mine")


def test_nor_is_one_that_others_may_rename(tmp_path: Path) -> None:
    """In a folder like /tmp only its owner may."""
    inner = tmp_path / "shared" / "mine"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o777)
    assert not folders.is_private(inner)
    inner.parent.chmod(0o1777)
    assert folders.is_private(inner)


def test_a_link_is_what_it_points_to_and_nothing_is_not_private(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to("open")
    assert not folders.is_private(tmp_path / "link")
    assert not folders.is_private(tmp_path / "nothing")


@needs_root
@pytest.mark.parametrize("planted", ["mine", "mine/inner"])
def test_a_folder_that_somebody_else_made_first_is_not_private(tmp_path: Path, planted: str) -> None:
    inner = tmp_path / "mine" / "inner"
    inner.mkdir(parents=True)
    assert folders.is_private(inner)
    os.chown(tmp_path / planted, NOBODY, NOBODY)
    assert not folders.is_private(inner)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that its own user cannot enter, nor root while the test runs."""
    folder, before = tmp_path / "closed", os.geteuid()
    folder.mkdir(mode=0)
    os.seteuid(before or NOBODY)
    yield folder
    os.seteuid(before)
    folder.chmod(0o700)


def test_a_home_that_cannot_be_entered(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(closed))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    cache = folders.user_cache()
    assert cache == closed / ".cache"
    assert not folders.can_be_written(cache)
    assert not folders.is_private(cache)


def test_a_machine_without_a_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none_usable() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none_usable)
    monkeypatch.setattr(folders, "SHARED_MEMORY", tmp_path)
    assert list(folders.temporary_folders()) == [tmp_path]
    monkeypatch.setattr(folders, "SHARED_MEMORY", tmp_path / "none")
    assert list(folders.temporary_folders()) == []
