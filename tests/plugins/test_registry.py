"""What comes from outside is looked at before it is used, and blamed where it fails."""

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dsasim import registry
from dsasim.errors import ConfigError

BASE = "a class that derives from dsasim.predictors.method.Method, not"
FILES = {
    "no dictionary": ("METHODS = 5", "METHODS: a dictionary of names and classes, not 5"),
    "no class": ('METHODS = {"x": 5}', f"METHODS['x']: {BASE} 5"),
    "another class": ('METHODS = {"x": int}', f"METHODS['x']: {BASE} <class 'int'>"),
    "no name": ("METHODS = {5: int}", "METHODS: a name is a word of small letters, digits and _, not 5"),
    "a name that acts": ('METHODS = {"x\\x1b": int}', "METHODS: a name is a word of small letters, digits and _, not"),
    "nothing": ("METHODS = {}", "has none of DESIGNS, METHODS, SELECTORS, DATAFLOWS"),
    "syntax": ("\nx = (", ":2: SyntaxError: '(' was never closed"),
    "import": ("import nothere", "ModuleNotFoundError: No module named 'nothere'"),
    "exit": ("raise SystemExit(7)", "SystemExit: 7"),
    "taken": (
        "from dsasim.predictors.method import Method\nMETHODS = {'dense': Method}",
        "there is a method named dense already",
    ),
}
RAISES = """
from dsasim.predictors.method import Method


class Boom(Method):
    summary = "raises"

    def mask(self, head):
        return 1 // 0


METHODS = {"boom": Boom}
"""


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_plugin(dsasim: Callable, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.py"
    path.write_text(text, encoding="utf-8")
    done = dsasim("--plugin", str(path), "list", "methods")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"dsasim: error: --plugin {path}")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_an_error_of_a_plugin_is_told_with_its_line(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text(RAISES, encoding="utf-8")
    chosen = ("--layers", "0", "--heads", "0", "--set", "predictor.method=boom")
    done = dsasim("--plugin", str(path), "run", "dsa-decoupled", "minilm-l128", *chosen)
    assert (done.status, done.out) == (2, "")
    assert done.err.rstrip().endswith(f"--plugin {path}:9: ZeroDivisionError: integer division or modulo by zero")


def test_two_files_stand_beside_each_other(dsasim: Callable, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(RAISES.replace("boom", name), encoding="utf-8")
    before = [word for name in ("one", "two") for word in ("--plugin", str(tmp_path / f"{name}.py"))]
    entries = {
        entry["name"]: entry["origin"] for entry in json.loads(dsasim(*before, "list", "methods", "--json", "-").out)
    }
    assert (entries["one"], entries["two"]) == ("one.py", "two.py")


def test_the_digest_follows_the_files(tmp_path: Path) -> None:
    """Whatever was kept for one plugin's text is not another's."""
    path = tmp_path / "p.py"
    path.write_text(RAISES, encoding="utf-8")
    before = registry.plugins_digest()
    registry.use_plugins([str(path)])
    first = registry.plugins_digest()
    path.write_text(RAISES.replace("1 // 0", "2 // 0"), encoding="utf-8")
    assert len({before, first, registry.plugins_digest()}) == 3


def test_our_own_errors_are_not_a_plugin_s(tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text(RAISES, encoding="utf-8")
    registry.use_plugins([str(path)])
    with pytest.raises(ValueError, match="ours") as told:
        raise ValueError("ours")
    assert registry.plugin_line(told.value) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [("nothere:X", "cannot be loaded: ModuleNotFoundError"), ("builtins:int", f"{BASE} <class 'int'>")],
)
def test_an_installed_part_that_is_none(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    point = EntryPoint("odd", value, "dsasim.methods")
    monkeypatch.setattr(registry, "_offered", lambda kind: {"odd": point} if kind == "methods" else {})
    with pytest.raises(ConfigError) as told:
        registry.find("methods", "odd")
    assert str(told.value).startswith(f"methods odd ({value}): ")
    assert message in str(told.value)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^no method named oracle_topc; did you mean oracle_topk\?$"):
        registry.find("methods", "oracle_topc")
    with pytest.raises(ConfigError, match=r"^no dataflow named 7; there are systolic, token_parallel$"):
        registry.find("dataflows", "7")


KINDS = {
    "designs": "dsa-edge",
    "methods": "dsa2021",
    "selectors": "top_k",
    "dataflows": "token_parallel",
    "traces": "smollm2-l512",
    "memories": "HBM2",
    "metrics": "cycles",
}


@pytest.mark.parametrize(("kind", "one"), KINDS.items())
def test_every_kind_is_listed(dsasim: Callable, kind: str, one: str) -> None:
    entries = json.loads(dsasim("list", kind, "--json", "-").out)
    assert one in [entry["name"] for entry in entries]
    assert all("dsasim" in entry["origin"] and entry["summary"] for entry in entries)
    shown = dsasim("list", kind).out
    assert all(entry["name"] in shown for entry in entries)


EXPLAINED = {
    "pe_array": ("pe_array: ", "a section of organisation, "),
    "clock_ghz": ("clock_ghz: ", "a number"),
    "sigma": ("predictor.sigma: ", "above 0"),
    "edp": ("edp: a metric, energy_pj.total x time_ns of a result; less is better",),
    "captured_mass_ratio": ("more is better",),
    "macs_sddmm": ("macs_sddmm: an event, counters.macs_sddmm of a result; of pe_array in dsa-decoupled", "pJ each"),
    "counters.macs_sddmm": ("counters.macs_sddmm of a result",),
    "idle_row_slots": ("free: time, not work",),
    "output_full": ("output_full: a stall reason, printed as output full",),
    "cycles": ("cycles: a metric, cycles of a result; less is better",),
    "bytes": ("buffers.q.bytes: ", "buffers.v.bytes: "),
}


@pytest.mark.parametrize(("name", "words"), EXPLAINED.items())
def test_names_are_explained(dsasim: Callable, name: str, words: tuple[str, ...]) -> None:
    done = dsasim("explain", name)
    assert (done.status, done.err) == (0, "")
    assert all(word in " ".join(done.out.split()) or word in done.out for word in words), done.out


def test_a_name_that_nothing_has(dsasim: Callable) -> None:
    done = dsasim("explain", "pe_array.lanez")
    assert (done.status, done.out) == (2, "")
    assert "nothing is called pe_array.lanez; did you mean pe_array.lanes" in done.err
