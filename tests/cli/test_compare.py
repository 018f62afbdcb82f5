"""`dsasim compare`: designs side by side, with the bytes of `dsasim run`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ONE_HEAD = ("--trace", "minilm-l128", "--layers", "2", "--heads", "0")
SHIPPED = ("dsa-decoupled", "dsa-coupled", "dsa-edge", "dense-16x16")


def lines_of(out: str) -> dict[str, list[str]]:
    """The cells of each row by its words; cells stand at least two spaces apart."""
    split = [[cell for cell in line.split("  ") if cell.strip()] for line in out.split("\n")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in split if len(cells) > 1}


def test_every_result_is_what_run_writes(dsasim: Callable) -> None:
    compared = json.loads(dsasim("compare", *SHIPPED, *ONE_HEAD, "--json", "-").out)
    assert [run["arch"]["name"] for run in compared["runs"]] == list(SHIPPED)
    for name, run in zip(SHIPPED, compared["runs"], strict=True):
        alone = dsasim("run", name, "minilm-l128", "--layers", "2", "--heads", "0", "--json", "-").out
        assert json.dumps(run, indent=2, ensure_ascii=False) + "\n" == alone


def test_the_table_says_what_the_results_do(dsasim: Callable, tmp_path: Path) -> None:
    done = dsasim("compare", *SHIPPED, *ONE_HEAD, "--json", str(tmp_path / "c.json"))
    assert (done.status, done.err) == (0, "")
    assert max(map(len, done.out.split("\n"))) <= 100
    runs, rows = json.loads((tmp_path / "c.json").read_text())["runs"], lines_of(done.out)
    assert rows["cycles"] == [f"{run['cycles']:,}" for run in runs]
    assert rows["speed-up over the first"] == [f"{runs[0]['time_ns'] / run['time_ns']:#.3g}x" for run in runs]
    assert rows["captured mass"] == [f"{run['quality']['captured_mass_ratio']:.3f}" for run in runs]
    energies = [run["energy_pj"]["total"] for run in runs]
    assert rows["energy saving over the first"] == [f"{energies[0] / energy:#.3g}x" for energy in energies]
    unit = runs[1]["units"]["pe_array"]
    turn = 100 * unit["stall_cycles"]["dependency"] / (unit["busy_cycles"] + sum(unit["stall_cycles"].values()))
    assert rows["its turn"][1] == f"{turn:.1f} %"
    assert len(rows["predictor"]) == 3  # dense hardware has none


def test_shares_of_the_array_s_time_sum_to_all_of_it(dsasim: Callable) -> None:
    rows = lines_of(dsasim("compare", *SHIPPED, *ONE_HEAD).out)
    words = ("busy", "no work left", "its turn", "output full", "DRAM", "operand", "bank conflicts", "other lanes")
    for design in range(4):
        shares = [float(rows[word][design].removesuffix(" %")) for word in words if word in rows]
        assert sum(shares) == pytest.approx(100, abs=0.4)


def test_many_designs_take_several_tables_and_equal_names_are_told_apart(
    dsasim: Callable, root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text((root / "arch_configs" / "dsa-edge.yaml").read_text())
    long = tmp_path / "long.yaml"
    long.write_text(other.read_text().replace("dsa-edge", "x" * 60, 1))
    done = dsasim("compare", "dsa-edge", str(other), str(long), *SHIPPED[1:], *ONE_HEAD)
    assert done.status == 0
    assert max(map(len, done.out.split("\n"))) <= 100
    assert done.out.count("speed-up over the first") == 2
    assert "dsa-edge (1) dsa-edge (2)" in " ".join(done.out.split())


def test_a_trace_of_masks_gives_bounds_and_no_quality(dsasim: Callable, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((1, 1, 16, 16), bool))
    trace = str(tmp_path / "m.safetensors")
    assert dsasim("trace", "import-mask", str(tmp_path / "m.npy"), "--d-head", "8", "--out", trace).status == 0
    done = dsasim("compare", "dsa-decoupled", "dsa-edge", "--trace", trace)
    rows = lines_of(done.out)
    assert all(cell.startswith("≤ ") for cell in rows["speed-up over dense"])
    assert all(cell.startswith("≥ ") for cell in rows["time"])
    assert "captured mass" not in rows
    assert "so these are bounds" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dsa-decopled",), "did you mean 'dsa-decoupled'?"),
        (("dsa-edge", "--trace", "dsa-edge"), "'dsa-edge' is a design, not a trace"),
        (("dsa-edge", "--trace", "minilm-l128", "--layers", "9"), "--layers 9"),
        (("dsa-edge", "--json", "/nowhere/c.json"), "--json /nowhere/c.json: cannot be written"),
        (("dsa-edge", "--set", "buffers.k.bytes=64", *ONE_HEAD), "dsa-edge: "),
        ((), "Missing argument"),
    ],
)
def test_bad_input_ends_with_2(dsasim: Callable, arguments: tuple[str, ...], message: str) -> None:
    done = dsasim("compare", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_no_sign_stands_without_a_figure(dsasim: Callable, tmp_path: Path) -> None:
    """Masks are free of charge, so ratios are bounds; where no dense machine has the area, nothing is bounded."""
    np.save(tmp_path / "mask.npy", np.broadcast_to(np.tri(64, dtype=bool), (1, 2, 64, 64)))
    trace = str(tmp_path / "mask.safetensors")
    imported = dsasim("trace", "import-mask", str(tmp_path / "mask.npy"), "--d-head", "64", "--causal", "--out", trace)
    assert imported.status == 0, imported.err
    done = dsasim("compare", "dsa-decoupled", "dsa-edge", "--trace", trace)
    assert done.status == 0, done.err
    words = done.out.split()
    assert "≤" in words
    assert all(words[at + 1].endswith("x") for at, word in enumerate(words) if word == "≤")
