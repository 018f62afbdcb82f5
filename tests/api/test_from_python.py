"""dsasim as a Python package: what it shows of itself, and runs by name."""

import pydoc
from pathlib import Path
from typing import Any

import pytest

import dsasim
from dsasim import ConfigError, DsasimError, TraceError, load_arch, load_trace, simulate
from dsasim.trace.find import shipped_traces

SMALL = {"layers": [0], "heads": [0], "quality": False, "baselines": False}


def test_dir_is_the_public_names_and_each_is_there() -> None:
    assert dir(dsasim) == sorted(dsasim.__all__)
    assert all(getattr(dsasim, name) is not None for name in dir(dsasim))


def test_help_describes_the_calls() -> None:
    text = pydoc.plain(pydoc.render_doc(dsasim))
    for words in ("simulate(arch", "load_arch(design", "load_trace(name_or_path", "class RunResult", "capture(model"):
        assert words in text


def test_names_paths_mappings_and_loaded_ones_are_the_same() -> None:
    path = shipped_traces()["minilm-l128"]
    arch = load_arch("dsa-edge")
    expected = simulate(arch, load_trace("minilm-l128"), **SMALL).to_json()
    assert simulate("dsa-edge", "minilm-l128", **SMALL).to_json() == expected
    assert simulate(expected["arch"], path, **SMALL).to_json() == expected
    assert simulate(arch, str(path), **SMALL).to_json() == expected


WRONG: dict[str, tuple[dict[str, Any], type[DsasimError], str]] = {
    "design": ({"arch": 5}, ConfigError, "not of type int"),
    "trace": ({"trace": None}, TraceError, "not of type NoneType"),
    "bytes": ({"trace": b"minilm-l128"}, TraceError, "not of type bytes"),
    "swapped": ({"arch": "minilm-l128", "trace": "dsa-edge"}, ConfigError, "is a trace, not a design"),
    "unknown": ({"trace": "minilm"}, TraceError, "did you mean minilm-l128"),
    "layers as text": ({"layers": "0,3"}, TraceError, "whole numbers"),
    "one layer": ({"layers": 0}, TraceError, "whole numbers"),
    "half a head": ({"heads": [0.5]}, TraceError, "whole numbers"),
    "scope": ({"scope": "all"}, ConfigError, "expected one of attention, layer, model"),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_said(change: dict[str, Any], error: type[DsasimError], message: str) -> None:
    arguments: dict[str, Any] = {"arch": "dsa-edge", "trace": "minilm-l128", **SMALL, **change}
    with pytest.raises(error, match=message):
        simulate(**arguments)


def test_a_path_may_be_of_any_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml: cannot be read"):
        load_arch(tmp_path / "x.yaml")
    with pytest.raises(TraceError, match=r"x\.safetensors"):
        load_trace(tmp_path / "x.safetensors")
