"""Every figure of ten unlike runs: terminal, page and comparison say what the tensors and the document do."""

import copy
import json
import math
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from surfaces import Shown, by_name, printed, ruled, value
from ten_runs import CASES, Run, expected_quality, run

from dsasim.baseline.dense import dense_arch, lane_split
from dsasim.baseline.gpu_profile import compared_gpus
from dsasim.cost.model import estimate_cost
from dsasim.report.compare import print_comparison
from dsasim.report.html.inputs import read_input
from dsasim.report.html.run import run_page
from dsasim.report.style import STALL_WORDS
from dsasim.report.text import print_result
from dsasim.sim.engine import run_machine

EXACT = {"rel": 1e-9}
CARDS = {"at equal area": "speed-up at equal area"}
QUALITY = {
    "captured mass": "captured_mass_ratio",
    "mask recall": "mask_recall_ratio",
    "output error": "output_rel_l2",
}
OTHERS = {"oracle": "oracle", "random": "random", "sink + window": "sink_window"}


@pytest.fixture(scope="module", params=CASES)
def one(request: pytest.FixtureRequest) -> Run:
    """Each of the ten runs."""
    return run(request.param)


@cache
def text_of(name: str) -> str:
    return printed(lambda console: print_result(run(name).result, console))


@cache
def page_of(name: str) -> Shown:
    """The page of a run: its result goes through a file, as `dsasim report` reads it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        path.write_text(json.dumps(run(name).document), encoding="utf-8")
        return Shown(run_page(read_input(str(path)), run(name).over_time))


@cache
def compared(name: str) -> dict[str, str]:
    """The column of a run compared with the first one, by words; in sections `energy: dram` and the like."""
    first, other = run(next(iter(CASES))), run(name)
    (rows,) = ruled(printed(lambda console: print_comparison([first.result, other.result], console)))
    section, column = "", {}
    for row in rows:
        if len(row) == 1 and row[""] in ("PE array's time", "time at work", "energy"):
            section = f"{row['']}: "
        else:
            column[section + row[""]] = row.get(list(rows[0])[2], "")
    return column


def column_of(one: Run) -> dict[str, str]:
    return compared(one.name)


def lines_of(name: str) -> dict[str, str]:
    """The headline: what stands behind each name, the lines without one numbered."""
    lines = text_of(name).split("who waited for what")[0].split("\n")[1:]
    return {line[:15].strip() or f"unnamed {at}": line[15:].strip() for at, line in enumerate(lines)}


def close(text: str, expected: float, digits: int | None = None) -> bool:
    """Whether a printed number is the expected one to its last digit; of `digits` digits zeros at the end may lack."""
    if digits is not None:
        return math.isclose(value(text), expected, rel_tol=0.501 * 10.0 ** (1 - digits))
    decimals = len(re.sub(r"[^\d.]", "", text).partition(".")[2])
    half = 0.501 * 10.0**-decimals * (0.01 if text.endswith("%") else 1)
    return abs(value(text) - expected) <= half


def test_the_document_counts_what_the_masks_keep(one: Run) -> None:
    for layer, keep, allowed in zip(one.document["layers"], one.keep, one.allowed, strict=True):
        assert [head["nnz"] for head in layer["heads"]] == [int(mask.sum()) for mask in keep]
        assert [head["density"] for head in layer["heads"]] == [int(mask.sum()) / int(allowed.sum()) for mask in keep]


def test_density_counts_every_head_everywhere(one: Run) -> None:
    density = one.num_kept / one.num_allowed
    if one.document["quality"] is not None:
        assert one.document["quality"]["density"] == pytest.approx(density, **EXACT)
    texts = (
        lines_of(one.name)["density"].partition(" %")[0],
        page_of(one.name).cards["density"][0],
        column_of(one)["density"],
    )
    assert [value(f"{text.removesuffix(' %')} %") for text in texts] == [pytest.approx(density, abs=0.00051)] * 3
    maps = page_of(one.name).figures["heads-density"][0]["z"]
    found = [
        100 * mask.sum() / allowed.sum() for keep, allowed in zip(one.keep, one.allowed, strict=True) for mask in keep
    ]
    assert [share for row in maps for share in row if share is not None] == pytest.approx(found)


def test_heads_that_keep_nothing_make_a_difference_here() -> None:
    """Else the test above could not tell: by the heads that keep a key alone, the densities are others."""
    for name in ("threshold", "masks only"):
        one = run(name)
        kept = [
            (int(mask.sum()), int(allowed.sum()))
            for keep, allowed in zip(one.keep, one.allowed, strict=True)
            for mask in keep
            if mask.any()
        ]
        assert sum(k for k, _ in kept) / sum(a for _, a in kept) > 1.2 * one.num_kept / one.num_allowed


def test_quality_is_that_of_the_masks_everywhere(one: Run) -> None:
    quality, page = one.document["quality"], page_of(one.name)
    if quality is None:
        assert not QUALITY.keys() & (lines_of(one.name).keys() | page.cards.keys())
        assert not any(column_of(one)[words] for words in QUALITY)
        assert "quality" not in page.figures
        return
    expected = expected_quality(one.case.layers, one.keep)
    bars = page.bars("quality")
    for words, name in QUALITY.items():
        assert quality[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-6)
        ours, *others = lines_of(one.name)[words].split(None, 1)
        card, more = page.cards[words]
        assert all(abs(float(text) - expected[name]) < 0.00051 for text in (ours, card, column_of(one)[words]))
        said = [f"{label} {quality[mask][name]:.3f}" for label, mask in OTHERS.items()]
        assert " ".join(others[0].split()) == " ".join(said) and more == ", ".join(said)
        assert bars["this design"][words] == quality[name]
        assert {label: bars[label][words] for label in OTHERS} == {
            label: quality[mask][name] for label, mask in OTHERS.items()
        }


def test_time_energy_and_area_are_the_same_everywhere(one: Run) -> None:
    document, lines, cards, column = one.document, lines_of(one.name), page_of(one.name).cards, column_of(one)
    assert document["time_ns"] == pytest.approx(document["cycles"] / document["arch"]["clock_ghz"], **EXACT)
    assert {lines["cycles"].split()[0], cards["cycles"][0], column["cycles"]} == {f"{document['cycles']:,}"}
    picoseconds = 1e3 * document["cycles"] / document["arch"]["clock_ghz"]
    for text in (lines["cycles"].split(None, 1)[1], cards["cycles"][1], column["time"]):
        assert close(text.partition(" at ")[0], picoseconds, 4)
    for name in ("energy_pj", "area_mm2"):
        parts = [cost for part, cost in document[name].items() if part != "total"]
        assert document[name]["total"] == pytest.approx(math.fsum(parts), **EXACT)
    energies = (lines["energy"].split("  ")[0], cards["energy"][0], column["energy"])
    assert all(close(text, document["energy_pj"]["total"], 4) for text in energies)
    assert all(close(text, document["area_mm2"]["total"]) for text in (cards["area"][0], column["area"]))


def test_what_is_saved_is_the_same_everywhere_and_a_bound_where_prediction_is_free(one: Run) -> None:
    document, lines, cards, column = one.document, lines_of(one.name), page_of(one.name).cards, column_of(one)
    baseline, cycles = document["baseline"], document["cycles"]
    free = one.name in ("threshold", "gqa", "cross", "decode", "masks only", "pool")
    assert document["predictor_free"] == free
    ratios = {"speed-up": ("speed-up over dense", baseline["dense_cycles"] / cycles)}
    if baseline["iso_area"] is not None:
        ratios["at equal area"] = ("at equal area", baseline["iso_area"]["cycles"] / cycles)
    for name, (row, ratio) in ratios.items():
        texts = lines[name].split("  ")[0], cards[CARDS.get(name, name)][0], column[row]
        assert all(close(text, ratio) for text in texts)
        assert [text.startswith(sign) for text, sign in zip(texts, ("at most", "at most", "≤"), strict=True)] == [
            document["predictor_free"]
        ] * 3
    bars = page_of(one.name).figures["baselines"][0]
    wanted = [
        baseline["dense_cycles"],
        *([] if baseline["iso_area"] is None else [baseline["iso_area"]["cycles"]]),
        cycles,
    ]
    assert bars["x"] == wanted and bars["y"][-1] == "this design"
    saving = baseline["energy_vs_dense_ratio"]
    for text in (lines["energy"].split("dense takes ")[1], cards["energy"][1].removeprefix("dense takes ")):
        assert close(text.removesuffix(" as much"), saving)
    assert close(column["energy saving over dense"], saving)
    first = run(next(iter(CASES))).document
    assert close(column["speed-up over the first"], first["time_ns"] / document["time_ns"])
    assert close(column["energy saving over the first"], first["energy_pj"]["total"] / document["energy_pj"]["total"])


def test_what_dense_hardware_takes_is_a_run_of_it(one: Run) -> None:
    arch, baseline = one.result.arch, one.document["baseline"]
    selection = {each.number: range(each.num_heads) for each in one.trace}
    dense = dense_arch(arch, baseline["dense_mapping"], lane_split(arch, one.trace, selection))
    machine = run_machine(dense, one.trace, selection, scope=one.case.scope)
    assert (machine.cycles, machine.attention_cycles) == (baseline["dense_cycles"], baseline["dense_attention_cycles"])
    energy = estimate_cost(dense, machine).energy_pj["total"]
    assert baseline["energy_vs_dense_ratio"] == pytest.approx(energy / one.document["energy_pj"]["total"], **EXACT)


def test_attention_alone_is_told_apart_where_there_is_more(one: Run) -> None:
    card = page_of(one.name).cards.get("speed-up of attention")
    lines = [line for line in lines_of(one.name).values() if "for attention alone" in line]
    if one.case.scope == "attention":
        assert card is None and not lines
        return
    heads = sum(head["cycles"] for layer in one.document["layers"] for head in layer["heads"])
    dense = sum(sum(layer["dense_cycles"].values()) for layer in one.document["layers"])
    assert heads + dense == one.document["cycles"] and dense > 0
    baseline = one.document["baseline"]
    (line,) = lines
    for speedup, words in ((line.split("  ")[0], line), card or ("", "")):
        assert close(speedup, baseline["dense_attention_cycles"] / heads)
        ours, theirs = (float(word) for word in words.replace("%", " ").split() if word.replace(".", "").isdigit())
        assert ours == pytest.approx(100 * heads / one.document["cycles"], abs=0.051)
        assert theirs == pytest.approx(100 * baseline["dense_attention_cycles"] / baseline["dense_cycles"], abs=0.051)
    bars = page_of(one.name).bars("layers")
    for layer in one.document["layers"]:
        found = {name: bars[name][str(layer["layer"])] for name in bars}
        assert found == {"attention": sum(head["cycles"] for head in layer["heads"])} | layer["dense_cycles"]


def test_every_unit_s_time_is_the_same_everywhere(one: Run) -> None:
    document, column = one.document, column_of(one)
    rows, bars = by_name(ruled(text_of(one.name))[0]), page_of(one.name).bars("unit-cycles")
    whole = {name: unit["instances"] * document["cycles"] for name, unit in document["units"].items()}
    assert set(rows) == {name for name in document["units"] if not name.startswith("lane_")}
    for name, row in rows.items():
        unit = document["units"][name]
        waited = unit["stall_cycles"]
        assert unit["busy_cycles"] + sum(waited.values()) == whole[name]
        assert close(row["busy"], unit["busy_cycles"] / whole[name])
        longest = max(waited.values(), default=0)
        if longest:
            reason = next(reason for reason in sorted(waited) if waited[reason] == longest)
            assert row["top stall"] == STALL_WORDS[reason]
            assert close(row["of its time"], longest / whole[name])
        else:
            assert "top stall" not in row
        if name == "dma":
            continue
        shares = {"busy": unit["busy_cycles"]} | {STALL_WORDS[reason]: cycles for reason, cycles in waited.items()}
        assert {owner: bar[name] for owner, bar in bars.items()} == pytest.approx(
            {owner: 100 * shares.get(owner, 0) / whole[name] for owner in bars}, abs=0.0051
        )
        if unit["busy_cycles"] and not name.startswith(("dma_", "pe_array")):
            assert close(column[f"time at work: {name}"], unit["busy_cycles"] / whole[name])
    array = document["units"]["pe_array"]
    for owner, words in {"busy": "busy", **STALL_WORDS}.items():
        cycles = array["busy_cycles"] if owner == "busy" else array["stall_cycles"].get(owner, 0)
        if cycles or column.get(f"PE array's time: {words}"):
            assert close(column[f"PE array's time: {words}"], cycles / whole["pe_array"])


def test_macs_used_are_the_same_everywhere(one: Run) -> None:
    """Useful MACs / all that the array could do in the run; those of dense products count."""
    counters, array = one.document["counters"], one.document["units"]["pe_array"]
    useful = counters["macs_sddmm"] + counters["macs_spmm"] + counters["macs_dense"]
    arch = one.result.arch
    assert array["utilisation_ratio"] == pytest.approx(useful / (arch.macs * one.document["cycles"]), **EXACT)
    rows = by_name(ruled(text_of(one.name))[0])
    assert close(rows["pe_array"]["MACs used"], array["utilisation_ratio"])
    assert close(page_of(one.name).cards["MACs used"][0], array["utilisation_ratio"])
    moved = counters["dram_read_bytes"] + counters["dram_write_bytes"]
    (point,) = [each for each in page_of(one.name).figures["roofline"] if each["name"] == "the run"]
    assert (point["x"], point["y"]) == (
        [pytest.approx(useful / moved)],
        [pytest.approx(useful / one.document["cycles"])],
    )


def test_every_component_costs_the_same_everywhere(one: Run) -> None:
    energy, area, column = one.document["energy_pj"], one.document["area_mm2"], column_of(one)
    rows = by_name(ruled(text_of(one.name))[1])
    (table,) = [each for each in page_of(one.name).tables if "component" in each[0]]
    drawn = {each["name"]: each["x"][0] for each in page_of(one.name).figures["energy"]}
    cells = {row["component"]: row for row in table}
    for name in energy.keys() | area.keys():
        for costs, words, share in ((energy, "energy", "share"), (area, "area mm²", "share 2")):
            if not costs.get(name):
                continue
            digits = 4 if words == "energy" else None
            assert close(rows[name][words], costs[name], digits) and close(cells[name][words], costs[name], digits)
            assert close(rows[name][share], costs[name] / costs["total"])
            if name != "total":
                assert close(cells[name]["of all" if words == "energy" else "of all 2"], costs[name] / costs["total"])
        if name != "total" and energy.get(name):
            assert drawn[name] == pytest.approx(energy[name] / 1e6)
    assert rows.keys() == {name for name in energy.keys() | area.keys() if energy.get(name) or area.get(name)}
    shares = {
        name.removeprefix("energy: "): text for name, text in column.items() if name.startswith("energy: ") and text
    }
    others = shares.pop("all others")
    assert all(close(text, energy[name] / energy["total"]) for name, text in shares.items())
    small = [cost for name, cost in energy.items() if name not in (*shares, "total")]
    assert close(others, math.fsum(small) / energy["total"])


def test_reuse_is_kept_positions_a_key_load(one: Run) -> None:
    for layer, row in zip(one.document["layers"], ruled(text_of(one.name))[3], strict=True):
        nnz, loads, steps = (sum(head[name] for head in layer["heads"]) for name in ("nnz", "k_loads", "plan_steps"))
        counted = {"cycles": layer["cycles"], "heads": len(layer["heads"]), "kept": nnz, "key loads": loads}
        assert row[""] == str(layer["layer"])
        assert {name: value(row[name]) for name in (*counted, "plan steps")} == counted | {"plan steps": steps}
        assert close(row["reuse"], nnz / loads) if loads else "reuse" not in row
    shown = page_of(one.name).figures["heads-reuse"][0]["z"]
    heads = [head for layer in one.document["layers"] for head in layer["heads"]]
    assert [
        each for row, layer in zip(shown, one.document["layers"], strict=True) for each in row[: len(layer["heads"])]
    ] == [head["nnz"] / head["k_loads"] if head["k_loads"] else None for head in heads]


def test_reuse_over_loads_is_another_figure_than_over_steps_here() -> None:
    heads = [head for layer in run("gqa").document["layers"] for head in layer["heads"]]
    assert sum(head["k_loads"] for head in heads) > 1.5 * sum(head["plan_steps"] for head in heads)


def test_every_gpu_s_time_and_ratios_stand_in_their_columns(one: Run) -> None:
    document = one.document
    attention = sum(head["cycles"] for layer in document["layers"] for head in layer["heads"])
    ours_ns = attention / document["arch"]["clock_ghz"]
    peak, known = document["baseline"]["peak"], {gpu.name: gpu for gpu in compared_gpus()}
    rows = ruled(text_of(one.name))[2]
    (table,) = [each for each in page_of(one.name).tables if "gpu" in each[0]]
    assert len(rows) == len(table) == len(document["baseline"]["gpu"]) > 10
    for gpu, row, cells in zip(document["baseline"]["gpu"], rows, table, strict=True):
        raw = gpu["time_ns"] / ours_ns
        ratios = {
            "speed-up": raw,
            "for its peak": raw * known[gpu["gpu"]].peak_fp16_tflops.value / peak["tflops"],
            "for its GB/s": raw * known[gpu["gpu"]].memory_gbps.value / peak["memory_gbps"],
        }
        assert (row[""], row["kernel"]) == (cells["gpu"], cells["kernel"]) == (gpu["gpu"], gpu["kernel"])
        assert close(row["time"], 1e3 * gpu["time_ns"], 4)
        assert close(row["launches"], gpu["launch_ns"] / gpu["time_ns"])
        assert all(close(row[name], ratio) for name, ratio in ratios.items())
        names = ("speedup ratio", "peak normalised ratio", "bandwidth normalised ratio")
        assert all(close(cells[name], ratio, 4) for name, ratio in zip(names, ratios.values(), strict=True))
        assert close(cells["time ns"], gpu["time_ns"], 4) and close(cells["launch ns"], gpu["launch_ns"], 4)
        assert len({round(ratio, 6) for ratio in ratios.values()}) == 3


def test_the_title_says_what_was_run(one: Run) -> None:
    document = one.document
    layers = ", ".join(str(layer["layer"]) for layer in document["layers"])
    words = f"layers {layers}; {sum(len(layer['heads']) for layer in document['layers'])} heads"
    words += "" if one.case.scope == "attention" else f"; scope {one.case.scope}"
    title = " ".join(text_of(one.name).split("\ncycles ")[0].split())
    assert title.startswith(one.result.arch.name)
    assert f"{words})" in title
    assert words in page_of(one.name).html.replace("Layers", "layers")


def test_a_figure_that_a_file_does_not_tell_is_left_out() -> None:
    """Results come from files: nothing is divided by a zero that a run never writes."""
    masks, layered, bare = (copy.deepcopy(run(name).document) for name in ("masks only", "scope layer", "gqa"))
    for head in masks["layers"][0]["heads"]:
        head["density"] = 0.0
    layered["baseline"]["dense_cycles"] = 0
    bare["area_mm2"] = {"total": 0.0}
    assert "density" not in Shown(run_page(masks)).cards
    assert "speed-up of attention" not in Shown(run_page(layered)).cards
    assert "speed-up at equal area" not in Shown(run_page(bare)).cards


def test_ten_runs_are_unlike() -> None:
    """Each is what it is named for, else the tests above test less than they say."""
    counters = {name: run(name).document["counters"] for name in CASES}
    units = {name: run(name).document["units"] for name in CASES}
    assert len(CASES) == 10
    assert not run("threshold").keep[0][0, :5].any() and not run("threshold").keep[0][1].any()
    assert len(run("gqa").case.layers[0].q) == 2 * len(run("gqa").case.layers[0].k)
    assert run("cross").keep[0].shape[1:] == (12, 20) and run("decode").keep[0].shape[1] == 1
    assert not run("masks only").keep[1].any() and run("masks only").document["quality"] is None
    assert counters["scope layer"]["macs_dense"] > 0
    assert units["spill"]["dma_score"]["busy_cycles"] > 0 and units["pool"]["dma_score"]["busy_cycles"] == 0
    assert units["coupled"]["predictor"]["busy_cycles"] > 0
    assert counters["pool"]["k_buffer_write_bytes"] < counters["pool"]["k_buffer_read_bytes"]
    assert np.array_equal(run("dense").keep[0], np.ones_like(run("dense").keep[0]))
