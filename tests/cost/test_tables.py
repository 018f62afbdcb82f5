"""The shipped tables: complete, sourced, and consistent with what they say they are derived from."""

from importlib import resources
from itertools import product
from typing import Any

import pytest

from dsasim.cost.dram import dram_energy
from dsasim.silicon.operations import operation
from dsasim.silicon.sourced import table, table_text
from dsasim.silicon.sram import BANKS, BLOCKS_BYTES, NODES_NM, _grid

TRUST = {"A-", "B", "C", "D"}
YAML_TABLES = ("operations.yaml", "node_scaling.yaml", "dram_energy.yaml")


def sourced_entries(part: Any) -> list[dict[str, Any]]:
    """Every mapping with a `source` key, at any depth."""
    if isinstance(part, list):
        return [entry for item in part for entry in sourced_entries(item)]
    if not isinstance(part, dict):
        return []
    here = [part] if "source" in part else []
    return here + [entry for value in part.values() for entry in sourced_entries(value)]


@pytest.mark.parametrize("name", YAML_TABLES)
def test_every_entry_names_a_listed_source_and_a_trust(name: str) -> None:
    entries = sourced_entries(table(name))
    assert entries
    assert {entry["source"] for entry in entries} == set(table(name)["sources"])
    assert {entry["trust"] for entry in entries} <= TRUST
    assert all(text.strip() for text in table(name)["sources"].values())


def test_every_number_of_an_operator_has_node_source_and_trust() -> None:
    for row in table("operations.yaml")["operations"]:
        assert row.keys() == {"name", "bits", "energy_pj", "area_um2", "leakage_nw"}
        for key in ("energy_pj", "area_um2", "leakage_nw"):
            assert row[key].keys() == {"value", "node_nm", "source", "trust"}
            assert row[key]["value"] > 0
            assert row[key]["node_nm"] in table("node_scaling.yaml")["nodes"]


def test_operators_are_listed_once() -> None:
    rows = [(row["name"], row["bits"]) for row in table("operations.yaml")["operations"]]
    assert len(rows) == len(set(rows))


def test_every_number_of_a_dram_preset_has_source_and_trust() -> None:
    for preset in table("dram_energy.yaml")["presets"].values():
        assert all(entry.keys() == {"value", "source", "trust"} for entry in preset.values())


def test_energy_ratios_follow_their_polynomials() -> None:
    """45 to 32 nm: (0.8367 x 0.81 - 0.4341 x 0.9 + 0.1701) / (1.018 - 0.3107 + 0.1539) = 0.457137 / 0.8612 = 0.5308."""
    nodes = table("node_scaling.yaml")["nodes"]

    def energy(node: dict[str, Any]) -> float:
        square, linear, constant = node["polynomial"]
        voltage = node["voltage_v"]
        return float(square * voltage**2 + linear * voltage + constant)

    for node in nodes.values():
        if "polynomial" in node:
            assert node["energy_ratio"] == pytest.approx(energy(node) / energy(nodes[45]), abs=5e-4)


def test_interpolated_nodes_lie_on_the_line_between_their_neighbours() -> None:
    """22 nm between 32 and 20: 0.5308 - (0.5308 - 0.2332) x 10/12 = 0.2828; area 0.46 - 0.25 x 10/12 = 0.2517."""
    nodes = table("node_scaling.yaml")["nodes"]
    for nm, node in nodes.items():
        if "between" in node:
            high_nm, low_nm = node["between"]
            share = (high_nm - nm) / (high_nm - low_nm)
            for key in ("energy_ratio", "area_ratio"):
                line = nodes[high_nm][key] + share * (nodes[low_nm][key] - nodes[high_nm][key])
                assert node[key] == pytest.approx(line, abs=1e-4)


def test_sram_grid_is_complete_where_cacti_works() -> None:
    """CACTI needs 32 rows a bank, so a macro starts at 32 x block x banks bytes, and the grid at 1 KiB."""
    sizes = [1024 << step for step in range(13)]
    for node, device, block, banks in product(NODES_NM, ("itrs-hp", "itrs-lstp"), BLOCKS_BYTES, BANKS):
        present = _grid()[node, device, block, banks]
        assert sorted(present) == [size for size in sizes if size >= 32 * block * banks]
        assert all(value > 0 for point in present.values() for value in point)


def test_sram_table_is_small_and_says_where_it_comes_from() -> None:
    assert len(table_text("cacti_sram.csv")) <= 200_000
    readme = table_text("README.md")
    assert "CACTI 7.0" in readme
    assert "10.1145/3085572" in readme


def test_tables_folder_holds_nothing_unread() -> None:
    folder = resources.files("dsasim.silicon") / "tables"
    assert {entry.name for entry in folder.iterdir()} == {*YAML_TABLES, "cacti_sram.csv", "README.md"}


def test_numbers_from_memory_are_called_assumed() -> None:
    assert "io_pj_per_bit: assumed, order of magnitude" in dram_energy("DDR4_3200").sources
    assert any(source.startswith("45 to 65 nm") and "assumed" in source for source in operation("add", 8, 65).sources)
