"""The designs that come with dsasim."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from dsasim.config.keys import all_keys
from dsasim.config.loader import list_archs, load_arch
from dsasim.config.resolved import arch_sha256, arch_to_dict, arch_to_yaml
from dsasim.config.schemas import schema_of

NAMES = [arch.name for arch in list_archs()]
each_design = pytest.mark.parametrize("name", NAMES)


def test_all_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["dense-16x16", "dense-flash", "dsa-coupled", "dsa-decoupled", "dsa-edge"]
    assert [arch.name for arch in list_archs()] == names


@each_design
def test_the_name_inside_is_the_files(name: str) -> None:
    assert load_arch(name).name == name


@each_design
def test_every_value_says_where_it_comes_from(name: str) -> None:
    """A comment stands behind the value, or on a line of its own above it."""
    path = next(arch.path for arch in list_archs() if arch.name == name)
    above = ""
    for line in path.read_text(encoding="utf-8").split("\n"):
        key, _, comment = line.partition("#")
        needs_none = key.rstrip().endswith(":") or key.startswith("name:") or not key.strip()
        assert needs_none or len(comment) > 5 or above.strip().startswith("#"), line
        above = line


@each_design
def test_each_has_a_summary(name: str) -> None:
    assert len(next(arch.summary for arch in list_archs() if arch.name == name)) > 20


def test_a_design_that_begins_without_a_comment_has_no_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, first in (("bare", "name: bare"), ("told", "# what it is")):
        (tmp_path / f"{name}.yaml").write_text(f"{first}\nclock_ghz: 1\n")
    monkeypatch.setattr("dsasim.config.loader._shipped_folder", lambda _: tmp_path)
    assert [arch.summary for arch in list_archs()] == ["", "what it is"]


@each_design
def test_printed_yaml_reads_back_to_the_same_design(name: str, tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    path.write_text(arch_to_yaml(load_arch(name)), encoding="utf-8")
    assert load_arch(path) == load_arch(name)
    assert arch_sha256(load_arch(path)) == arch_sha256(load_arch(name))


@pytest.mark.parametrize("text", ["on", "012", "1e9", "true", "null", "a: b", "x # y", "µ", "1.5", "2021-10-21"])
def test_printed_yaml_quotes_what_would_be_read_as_something_else(text: str, tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    quoted = "'" + text + "'"
    path.write_text(arch_to_yaml(load_arch("dsa-edge", [f"name={quoted}"])), encoding="utf-8")
    assert load_arch(path).name == text


@each_design
def test_json_holds_every_key(name: str) -> None:
    resolved = arch_to_dict(load_arch(name))
    assert json.loads(json.dumps(resolved, allow_nan=False)) == resolved
    for path in all_keys(schema_of(resolved)):
        if path == ("design",):
            continue  # said only of a machine that is not the usual one
        value = resolved
        for key in path:
            value = value[key] if value is not None else None


def test_the_fingerprint_is_of_the_json_and_of_nothing_else() -> None:
    arch = load_arch("dsa-decoupled")
    text = json.dumps(arch_to_dict(arch), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert arch_sha256(arch) == sha256(text.encode()).hexdigest()
    assert arch_sha256(load_arch("dsa-decoupled", ["predictor.sigma=0.250"])) == arch_sha256(arch)
    assert arch_sha256(load_arch("dsa-decoupled", ["pe_array.lanes=8"])) != arch_sha256(arch)


def test_dense_16x16_is_dsa_decoupled_without_prediction() -> None:
    dense, sparse = arch_to_dict(load_arch("dense-16x16")), arch_to_dict(load_arch("dsa-decoupled"))
    assert load_arch("dense-16x16").macs == 256
    for section in ("clock_ghz", "technology_nm", "softmax", "dma", "dram", "cost"):
        assert dense[section] == sparse[section]
    assert dense["pe_array"] == {**sparse["pe_array"], "dataflow": "systolic"}
