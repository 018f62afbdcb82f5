"""Where compiled kernels are kept: the first folder that can be written, and that nobody else can have filled."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsasim.kernels import jit


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """A machine of which only some folders are usable: the rest are files where a folder would be."""
    (tmp_path / "install").mkdir()
    (tmp_path / "install" / "kernel.py").touch()

    def only(*usable: str) -> None:
        for name in {"given", "home", "temporary", "memory"} - set(usable):
            (tmp_path / name).touch()
        for name in usable:
            (tmp_path / name).mkdir(exist_ok=True)
        if "install" not in usable:
            (tmp_path / "install" / "__pycache__").touch()
        monkeypatch.setattr(jit, "KERNELS", tmp_path / "install")
        monkeypatch.setattr(jit.NUMBA, "CACHE_DIR", str(tmp_path / "given") if "given" in usable else "")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        monkeypatch.setattr(jit.folders, "SHARED_MEMORY", tmp_path / "memory")
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)

    return only


@pytest.mark.parametrize(
    ("usable", "chosen"),
    [
        (("given", "install", "home", "temporary", "memory"), "given"),
        (("install", "home", "temporary", "memory"), "install/__pycache__"),
        (("home", "temporary", "memory"), "home/dsasim"),
        (("temporary", "memory"), f"temporary/dsasim-{os.getuid()}"),
        (("memory",), f"memory/dsasim-{os.getuid()}"),
    ],
)
def test_the_first_folder_that_can_be_written_and_the_same_again(
    machine: Callable[..., None], tmp_path: Path, usable: tuple[str, ...], chosen: str
) -> None:
    machine(*usable)
    folder = jit.cache_folder()
    assert folder is not None
    assert folder.parent == tmp_path / chosen
    assert jit.cache_folder() == folder
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_another_state_of_the_kernels_is_another_folder(machine: Callable[..., None], tmp_path: Path) -> None:
    machine("home")
    before = jit.cache_folder()
    (tmp_path / "install" / "kernel.py").write_text("changed")
    assert jit.cache_folder() != before


def test_code_that_nobody_used_for_a_week_goes(machine: Callable[..., None], tmp_path: Path) -> None:
    machine("home")
    old, new = (tmp_path / "home" / "dsasim" / f"dsasim-kernels-{name}" for name in ("old", "new"))
    for folder, days in ((old, 8), (new, 6)):
        folder.mkdir(parents=True)
        (folder / "code").touch()
        os.utime(folder, (0, time.time() - days * 24 * 3600))
    used = jit.cache_folder()
    assert set(old.parent.iterdir()) == {new, used}


def test_a_folder_that_others_could_fill_is_passed_over(
    machine: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then one is made anew: processes that are started from here find it, and it goes with this one."""
    kept: list[tuple[object, ...]] = []
    monkeypatch.setattr("atexit.register", lambda *call, **options: kept.append(call))
    machine("home", "temporary")
    for folder in ("home", "temporary"):
        (tmp_path / folder).chmod(0o777)
    chosen = jit.cache_folder()
    assert chosen is not None
    assert chosen.parent == tmp_path / "temporary"
    assert os.environ["NUMBA_CACHE_DIR"] == str(chosen)
    ((remove, *arguments),) = kept
    assert callable(remove)
    remove(*arguments)
    assert not chosen.exists()


def test_without_any_folder_kernels_are_compiled_and_not_kept(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    assert jit.cache_folder() is None
    monkeypatch.setattr(jit, "CACHE", None)
    kernel = jit.njit()(lambda values: values[0] + 1)
    assert kernel(np.array([41])) == 42
    assert kernel.stats.cache_path is None


def test_kernels_of_others_stay_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jit.NUMBA, "CACHE_DIR", "of others")
    monkeypatch.setattr(jit, "CACHE", tmp_path)
    kernel = jit.njit()(lambda values: values[0] + 1)
    assert Path(kernel.stats.cache_path).parent == tmp_path
    assert jit.NUMBA.CACHE_DIR == "of others"


def test_every_kernel_is_kept_by_these_rules() -> None:
    """Numba's own `njit` would keep its code elsewhere, and refuse to be imported where it cannot."""
    for path in jit.KERNELS.glob("*.py"):
        assert path.name == "jit.py" or "from numba import njit" not in path.read_text(encoding="utf-8"), path
