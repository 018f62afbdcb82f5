"""Names of shipped traces, and paths."""

import os
import re

import pytest

from dsasim.errors import TraceError
from dsasim.trace.find import find_trace, shipped_traces
from dsasim.trace.store import open_trace


def test_shipped_names_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(shipped_traces()) == ["minilm-l128", "smollm2-l512"]
    assert find_trace("smollm2-l512").is_file()


def test_a_suffix_or_a_separator_makes_it_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minilm-l128").write_bytes(b"")
    assert find_trace(f".{os.sep}minilm-l128").read_bytes() == b""
    assert find_trace("minilm-l128").suffix == ".safetensors"
    for absent in ("minilm-l128.safetensors", tmp_path / "absent"):
        with pytest.raises(
            TraceError, match="^" + re.escape(f"{absent}: cannot be read: no such file or directory") + "$"
        ):
            open_trace(find_trace(absent))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("smolm2", "did you mean smollm2-l512?"), ("zzz", "shipped are minilm-l128, smollm2-l512")],
)
def test_an_unknown_name_is_told_the_nearest(name, hint):
    with pytest.raises(TraceError, match=re.escape(f"{name!r}: no shipped trace of this name; {hint}")):
        find_trace(name)


def test_a_design_where_a_trace_belongs_is_said_so():
    with pytest.raises(TraceError, match=r"^d/edge\.yaml: a YAML design where a trace \(\.safetensors\) belongs$"):
        find_trace("d/edge.yaml")


def test_a_pipe_is_not_a_trace(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(TraceError, match=r"is a pipe or a device, not a trace$"):
        open_trace(find_trace(tmp_path / "pipe.safetensors"))
