"""Each plugin at the prompt, from its file and installed: run, priced, timed, reported, listed, checked and swept."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_files import NAMES, PLUGINS, yaml_of

from dsasim.config.loader import load_arch
from dsasim.sim.engine import design_of

Plugin = Callable[[str], tuple[str, ...]]

KEYS = {"pooled_blocks": "predictor.block", "query_serial": "pe_array.turn_cycles", "sanger": "sanger.threshold"}
"""A key of each plugin's own."""

VALUES = {"pooled_blocks": (8, 16, 32, 64), "query_serial": (0, 1, 2, 4), "sanger": (0.01, 0.02, 0.05, 0.1)}
PARTS = {
    "pooled_blocks": ("methods", "pooled_blocks"),
    "query_serial": ("dataflows", "query_serial"),
    "sanger": ("designs", "sanger"),
}


@pytest.mark.parametrize("name", NAMES)
def test_none_is_longer_than_150_lines(name: str) -> None:
    assert len((PLUGINS / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_priced_timed_reported_and_drawn(dsasim: Callable, plugin: Plugin, name: str, tmp_path: Path) -> None:
    page, timeline, values = (str(tmp_path / end) for end in ("r.html", "t.json.gz", "r.json"))
    run = (*plugin(name), "run", yaml_of(name), "minilm-l128", "--layers", "0", "--heads", "0,1")
    done = dsasim(*run, "--json", values, "--timeline", timeline, "--report", page)
    assert (done.status, done.err) == (0, "")
    result = json.loads(Path(values).read_text(encoding="utf-8"))
    assert all(result["invariants"].values())
    assert result["quality"]["mask_recall_ratio"] > result["quality"]["random"]["mask_recall_ratio"]
    assert result["baseline"]["speedup_vs_dense"] == result["baseline"]["dense_cycles"] / result["cycles"]
    design = design_of(load_arch(yaml_of(name)))
    for part, silicon in [
        *((unit.name, unit.silicon) for unit in design.units() if unit.silicon is not None),
        *((f"buffer_{buffer.name}", buffer.silicon) for buffer in design.buffers()),
    ]:
        energy = sum(result["counters"][event] * price for event, price in silicon.energy_pj.items())
        assert result["energy_pj"][part] == pytest.approx(energy)
        assert energy > 0 or not any(result["counters"][event] for event in silicon.energy_pj)
        assert result["area_mm2"][part] == pytest.approx(silicon.area_mm2)
    units = [unit.name for unit in design.units()]
    rows = {
        event["args"]["name"]
        for event in json.loads(gzip.decompress(Path(timeline).read_bytes()))["traceEvents"]
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    html = Path(page).read_text(encoding="utf-8")
    for unit in units:
        busy, stalls = result["units"][unit]["busy_cycles"], sum(result["units"][unit]["stall_cycles"].values())
        assert busy + stalls == result["cycles"] * result["units"][unit]["instances"]
        assert unit in done.out
        assert f'"{unit}"' in html
        assert any(row == unit or row.startswith(f"{unit} ") for row in rows) or result["units"][unit]["instances"] > 1
    assert dsasim(*plugin(name), "report", values, "--out", str(tmp_path / "again.html")).status == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_is_listed_explained_and_in_the_schema(dsasim: Callable, plugin: Plugin, name: str) -> None:
    kind, part = PARTS[name]
    before = plugin(name)
    entries = {entry["name"]: entry for entry in json.loads(dsasim(*before, "list", kind, "--json", "-").out)}
    assert entries[part]["origin"] == (f"{name}.py" if before else "example-plugins")
    assert part in dsasim(*before, "list", kind).out
    key = KEYS[name]
    said = dsasim(*before, "explain", key, "--design", yaml_of(name)).out
    assert said.startswith(f"{key}: ")
    section, _, last = key.partition(".")
    schema = json.loads(dsasim(*before, "arch", "schema", yaml_of(name)).out)
    assert any(last in part.get("properties", {}) for part in schema["$defs"].values())
    assert section in schema["properties"]


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_key_of_its_own_is_told_with_its_line(
    dsasim: Callable, plugin: Plugin, name: str, tmp_path: Path
) -> None:
    last = KEYS[name].rpartition(".")[2]
    text = Path(yaml_of(name)).read_text(encoding="utf-8")
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace(f"{last}:", f"{last[:-1]}:"), encoding="utf-8")
    (line,) = (number for number, words in enumerate(text.split("\n"), 1) if f" {last}:" in words)
    done = dsasim(*plugin(name), "arch", "check", str(bad))
    assert done.status == 2
    assert f"bad.yaml:{line}: {KEYS[name][:-1]}: unknown key; did you mean {KEYS[name]}?" in done.err
    assert dsasim(*plugin(name), "arch", "check", yaml_of(name)).out.startswith("OK: ")


@pytest.mark.parametrize("name", NAMES)
def test_its_key_can_be_set_and_is_checked(dsasim: Callable, plugin: Plugin, name: str) -> None:
    shown = dsasim(
        *plugin(name), "arch", "show", yaml_of(name), "--resolved", "--set", f"{KEYS[name]}={VALUES[name][0]}"
    )
    assert f"{KEYS[name].rpartition('.')[2]}: {VALUES[name][0]}\n" in shown.out
    refused = dsasim(*plugin(name), "arch", "check", yaml_of(name), "--set", f"{KEYS[name]}=-1")
    assert refused.status == 2
    assert f"--set {KEYS[name]}=-1: {KEYS[name]}: -1 is not a" in refused.err


def test_all_stand_beside_each_other(dsasim: Callable, package: None) -> None:
    designs = (*map(yaml_of, NAMES), "dsa-decoupled")
    done = dsasim("compare", *designs, "--trace", "minilm-l128", "--layers", "0", "--heads", "0")
    assert (done.status, done.err) == (0, "")
    header = next(line for line in done.out.split("\n") if "dsa-decoupled" in line)
    assert header.split() == ["pooled-blocks", "query-serial", "sanger", "dsa-decoupled"]
    assert "sparse_array" in done.out


@pytest.mark.parametrize(
    ("name", "route"), [("pooled_blocks", "package"), ("query_serial", "file"), ("sanger", "file")]
)
def test_a_sweep_of_its_key_by_two_workers(
    dsasim: Callable, request: pytest.FixtureRequest, name: str, route: str, tmp_path: Path
) -> None:
    before: tuple[str, ...] = ("--plugin", str(PLUGINS / f"{name}.py"))
    if route == "package":
        request.getfixturevalue("package")
        before = ()
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"base: {yaml_of(name)}\ntraces: {{trace: minilm-l128, layers: [0], heads: [0]}}\n"
        f"axes: {{{KEYS[name]}: {list(VALUES[name])}}}\nobjectives: [cycles, utilisation_ratio]\n"
        f"constraints: ['{KEYS[name]} >= 0']\n",
        encoding="utf-8",
    )
    done = dsasim(*before, "sweep", str(spec), "--out", str(tmp_path / "out"), "--workers", "2")
    assert (done.status, done.err) == (0, "")
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [(row["axes"][KEYS[name]], row["status"]) for row in rows] == [(value, "ok") for value in VALUES[name]]
    assert len({row["cycles"] for row in rows}) > 1
    page = dsasim(*before, "report", str(tmp_path / "out"), "--out", str(tmp_path / "sweep.html"))
    assert page.status == 0
    misspelt = spec.read_text().replace(f"{{{KEYS[name]}:", f"{{{KEYS[name][:-1]}:")
    spec.write_text(misspelt, encoding="utf-8")
    refused = dsasim(*before, "sweep", str(spec), "--out", str(tmp_path / "other"))
    assert (refused.status, "spec.yaml:3: axes" in refused.err) == (2, True)
    assert KEYS[name] in refused.err


def test_a_machine_says_what_it_cannot_do(dsasim: Callable, by_file: Callable[..., None]) -> None:
    by_file("sanger")
    run = ("run", yaml_of("sanger"), "minilm-l128", "--layers", "0", "--heads")
    scope = dsasim(*run[:-2], "0", "--scope", "layer")
    assert (scope.status, "scope layer: the machine sanger runs attention alone" in scope.err) == (2, True)
    pool = dsasim(*run, "0", "--set", "buffers.k.residency=pool")
    assert (pool.status, "buffers.k.residency pool: this machine keeps whole tensors" in pool.err) == (2, True)
    small = dsasim(*run, "0", "--set", "buffers.k.bytes=1024")
    assert (small.status, "buffers.k.bytes is 1024, but this trace needs at least 8192" in small.err) == (2, True)
