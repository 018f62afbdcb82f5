"""dsasim as a Python package: what it shows of itself, and runs by name."""

import io
import pydoc
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dsasim
from dsasim import ConfigError, DsasimError, TraceError, load_arch, load_trace, simulate
from dsasim.report.style import new_console
from dsasim.report.text import print_result
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


def test_a_trace_is_named_in_a_line() -> None:
    model = "all-MiniLM-L6-v2 (BERT encoder, float32)"
    shown = f"AttentionTrace('minilm-l128', real, {model!r}, layers=(0, 1, 2, 3, 4, 5))"
    assert repr(load_trace("minilm-l128")) == shown


def test_a_path_may_be_of_any_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml: cannot be read"):
        load_arch(tmp_path / "x.yaml")
    with pytest.raises(TraceError, match=r"x\.safetensors"):
        load_trace(tmp_path / "x.safetensors")


def test_a_result_shows_the_first_lines_of_what_is_printed() -> None:
    arch = load_arch("dsa-edge", ["pe_array.lanes=2"])
    result = simulate(arch, "minilm-l128", [0], [0, 1])
    stream = io.StringIO()
    print_result(result, new_console(stream))
    printed = [line.rstrip() for line in stream.getvalue().split("\n")]
    shown = repr(result).split("\n")
    assert shown == printed[: len(shown)]
    assert printed[len(shown)] == ""
    assert " ".join(shown[:2]).startswith("dsa-edge with pe_array.lanes=2 on minilm-l128 (real")
    assert shown[-1].startswith("output error")
    assert str(result) == repr(result)


def test_a_result_in_a_notebook_is_a_table_of_escaped_text() -> None:
    result = replace(simulate("dsa-edge", "minilm-l128", [0], [0]), notes=("<script>\x1b[1m&",))
    html = result._repr_html_()
    assert "<p><em>&lt;script&gt;\\x1b[1m&amp;</em></p>" in html
    assert html.count("<tr><td>") == 8
    assert f"<td>{result.machine.cycles:,}</td>" in html
    assert set(re.findall(r"<(\w+)", html)) == {"div", "p", "b", "em", "table", "tr", "td"}
    assert len(html) < 2000


def test_what_was_run_is_in_the_result_only_where_it_is_not_all() -> None:
    keys = {"changes", "part", "notes"}
    whole = simulate("dsa-edge", "minilm-l128", quality=False, baselines=False)
    assert keys & whole.to_json().keys() == set()
    part = simulate("dsa-edge", "minilm-l128", changes=["my own words"], **SMALL).to_json()
    assert part["changes"] == ["my own words"]
    assert part["part"] == {"of_layers": 6, "of_heads": 72}
