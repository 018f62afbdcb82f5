"""Output files are checked first, and appear whole or not at all."""

import os
from pathlib import Path

import pytest

from dsasim.errors import ConfigError
from dsasim.inputs.printable import printable
from dsasim.report.files import PAGE, check_writable, open_output, write_text

not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def test_a_file_is_written_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    check_writable(str(path), "--json")
    assert list(tmp_path.iterdir()) == []
    write_text(str(path), "--json", "µ\n")
    assert path.read_text(encoding="utf-8") == "µ\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(str(tmp_path / "link"), "--json", "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "x"


def test_a_device_is_written_in_place() -> None:
    check_writable(os.devnull, "--json")
    write_text(os.devnull, "--json", "x")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("name", ["x" * 255, "µ" * 127])
def test_a_name_may_be_as_long_as_names_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    check_writable(str(path), "--json")
    write_text(str(path), "--json", "x")
    with open_output(str(path), "--timeline") as file:
        file.write(b"y")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [(name, b"y")]


def test_an_error_of_the_work_is_not_the_file_s(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a bug"), open_output(str(tmp_path / "t"), "--timeline"):
        raise ValueError("a bug")
    assert list(tmp_path.iterdir()) == []


def test_dash_is_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    check_writable("-", "--json")
    write_text("-", "--json", "x\n")
    assert capsys.readouterr().out == "x\n"


def test_an_old_file_survives_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.json"
    path.write_text("old", encoding="utf-8")

    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match=r"--json .*: cannot be written: no space left on device"):
        write_text(str(path), "--json", "new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["r.html", "R.HTML", "a.b.htm", "/dev/null", "-"])
def test_a_name_may_end_as_its_format_does_and_a_device_as_it_likes(name: str, tmp_path: Path) -> None:
    path = name if name[0] in "/-" else str(tmp_path / name)
    check_writable(path, "--report", PAGE)


@pytest.mark.parametrize("name", ["r.txt", "html", "r.html.gz"])
def test_another_ending_is_refused_with_what_is_allowed(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--report .*: the file's name must end in \.html or \.htm$"):
        check_writable(str(tmp_path / name), "--report", PAGE)
    assert list(tmp_path.iterdir()) == []


BAD = {
    "folder": (".", "is a folder"),
    "no folder": ("nowhere/r.json", "no such file or directory"),
    "empty": ("", "is a folder"),
    "long": ("x" * 300, "file name too long"),
    "below a file": ("file/r.json", "not a directory"),
    "loop": ("loop", "cannot be written"),
    "NUL": ("a\0b", "null byte"),
}


@pytest.mark.parametrize(("path", "message"), BAD.values(), ids=BAD)
def test_a_bad_path_is_found_before_the_work(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    with pytest.raises(ConfigError) as caught:
        check_writable(path, "--json")
    assert str(caught.value).startswith(f"--json {printable(path)}: cannot be written: ")
    assert message in str(caught.value)
    with pytest.raises(ConfigError, match=r"--json .*: cannot be written: "):
        write_text(path, "--json", "x")
    with pytest.raises(ConfigError, match=r"--timeline .*: cannot be written: "), open_output(path, "--timeline"):
        pytest.fail("no file to write to")
    assert {each.name for each in tmp_path.iterdir()} == {"file", "loop"}


@not_root
def test_a_folder_without_permission_is_found_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="permission denied"):
        check_writable(str(tmp_path / "r.json"), "--json")
