"""Designs to break: the shipped default, one edit at a time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dsasim.config.loader import list_archs, load_arch
from dsasim.errors import ConfigError


@pytest.fixture(scope="session")
def default_text() -> str:
    """The YAML of dsa-decoupled as shipped."""
    return next(arch.path for arch in list_archs() if arch.name == "dsa-decoupled").read_text(encoding="utf-8")


@pytest.fixture
def design(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write text or bytes as `d.yaml`."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "d.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def problems(design: Callable[[str | bytes], Path]) -> Callable[..., list[str]]:
    """The lines of the ConfigError that a text (and overrides) gives, with the folder of the file taken off."""

    def find(content: str | bytes, *overrides: str) -> list[str]:
        path = design(content)
        with pytest.raises(ConfigError) as caught:
            load_arch(path, overrides)
        return str(caught.value).replace(f"{path.parent}/", "").split("\n")

    return find


@pytest.fixture
def edited(default_text: str) -> Callable[[str, str], tuple[str, int]]:
    """Replace the one line that holds `old`; return the new text and the line's number, counted from 1."""

    def edit(old: str, new: str) -> tuple[str, int]:
        lines = default_text.split("\n")
        (index,) = (i for i, line in enumerate(lines) if old in line.split("#")[0])
        lines[index] = new
        return "\n".join(lines), index + 1

    return edit
