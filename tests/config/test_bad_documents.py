"""What is not a design at all: one message, with the line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dsasim.config.loader import MAX_FILE_BYTES, load_arch
from dsasim.errors import ConfigError

DOCUMENTS = {
    "empty": ("", "d.yaml: the file is empty"),
    "only comments": ("# nothing\n", "d.yaml: the file is empty"),
    "list": ("# a\n- 1\n", "d.yaml:2: a design is a mapping of `key: value`, got a list"),
    "scalar": ("5\n", "d.yaml:1: a design is a mapping of `key: value`, got a single value"),
    "two documents": ("a: 1\n---\nb: 2\n", "d.yaml:2: not valid YAML: but found another document"),
    "tab": ("a:\n\tb: 1\n", "(indent with spaces, not tabs)"),
    "tab line": ("a:\n\tb: 1\n", "d.yaml:2: "),
    "colon twice": ("name: x\na: b: c\n", "d.yaml:2: not valid YAML: mapping values are not allowed here"),
    "open quote": ('name: "x\n', "not valid YAML: found unexpected end of stream"),
    "anchor": ("a: &x 1\nb: *x\n", "d.yaml:1: anchors and aliases (& and *) are not read"),
    "merge": ("a: {<<: {b: 1}}\n", "d.yaml:1: a: merge keys (<<) are not read"),
    "tag": ("a: !!python/object:os.system x\n", "d.yaml:1: tags (!) are not read"),
    "deep": ("[" * 100_000, "d.yaml:1: nested more than 8 deep"),
    "list as key": ("? [1, 2]\n: 3\n", "d.yaml:1: a key is a word"),
    "control character": ("name: x\na: \x01\n", "d.yaml:2: not a text file"),
    "binary": (b"name: x\n\xff\xfe\x00", "d.yaml:2: not a design: not UTF-8 text"),
    "UTF-16": ("name: x".encode("utf-16"), "d.yaml:1: not a design: not UTF-8 text"),
    "numpy": (b"\x93NUMPY\x01\x00", "is a NumPy array, not a design; dsasim trace import-mask"),
    "trace": (b'\x10\x00\x00\x00\x00\x00\x00\x00{"q": {}}', "is a trace, not a design; a design comes first"),
    "too large": (
        b"#" * (MAX_FILE_BYTES + 1),
        f"d.yaml: {MAX_FILE_BYTES + 1:,} bytes, more than {MAX_FILE_BYTES:,}: not a design",
    ),
}


@pytest.mark.parametrize(("content", "message"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_file_that_is_no_design(problems: Callable[..., list[str]], content: str | bytes, message: str) -> None:
    assert message in problems(content)[0]


def test_a_byte_order_mark_is_no_problem(design: Callable[..., Path], default_text: str) -> None:
    assert load_arch(design(b"\xef\xbb\xbf" + default_text.encode())).name == "dsa-decoupled"


NAMES = {
    "misspelt": (
        "dsa-decopled",
        "did you mean 'dsa-decoupled'? shipped are dense-16x16, dense-flash, dsa-coupled, dsa-decoupled, dsa-edge",
    ),
    "unknown": ("zzz", "no design named 'zzz'; shipped are"),
    "empty": ("", "no design named ''"),
    "missing file": ("nowhere/x.yaml", "nowhere/x.yaml: cannot be read: no such file or directory"),
    "suffix": ("x.yaml", "x.yaml: cannot be read"),
    "NUL": ("x\0.yaml", "cannot be read"),
}


@pytest.mark.parametrize(("name", "message"), NAMES.values(), ids=NAMES)
def test_a_name_that_leads_nowhere(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_arch(name)
    assert message in str(caught.value)


def test_a_folder_is_no_design(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, not a design"):
        load_arch(tmp_path)


def test_a_pipe_is_no_design_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.yaml")
    with pytest.raises(ConfigError, match=r"is a pipe or a device, not a design$"):
        load_arch(tmp_path / "d.yaml")
