"""Numbers of figures worked out by hand, each from inputs that are all unlike each other."""

from typing import Any

import numpy as np
import pytest

from dsasim.api import load_trace
from dsasim.masks import KeepMask
from dsasim.report.html import beside, heads, masks, roofline, sensitivity
from dsasim.report.html.points import axes_of, groups
from dsasim.report.html.quantities import quantity
from dsasim.report.sweep import IN_UNIT, column_title
from dsasim.sweep.metrics import METRICS
from dsasim.trace import positions

FIGURES = ("captured_mass_ratio", "mask_recall_ratio", "output_rel_l2")


def test_each_bar_of_quality_is_that_of_its_own_masks() -> None:
    ours, *others = ({name: kind + at / 10 for at, name in enumerate(FIGURES)} for kind in range(4))
    quality = ours | dict(zip(("oracle", "random", "sink_window"), others, strict=True))
    bars = {trace["name"]: trace["y"] for trace in beside.quality_figure(quality)["data"]}
    assert bars == {
        "this design": [0.0, 0.1, 0.2],
        "oracle": [1.0, 1.1, 1.2],
        "random": [2.0, 2.1, 2.2],
        "sink + window": [3.0, 3.1, 3.2],
    }


def test_a_head_s_cell_by_hand() -> None:
    """12 positions kept with 4 key loads in 6 steps: each load serves 3; without loads there is no reuse."""
    one = {"head": 0, "density": 0.25, "cycles": 700, "nnz": 12, "k_loads": 4, "plan_steps": 6}
    none = one | {"head": 1, "nnz": 0, "k_loads": 0, "plan_steps": 0}
    result = {"layers": [{"layer": 3, "heads": [one, none]}]}
    cells = {measure: heads.head_map(result, measure)["data"][0]["z"] for measure in ("density", "cycles", "reuse")}
    assert cells == {"density": [[25.0, 25.0]], "cycles": [[700.0, 700.0]], "reuse": [[3.0, None]]}


def test_the_run_s_point_by_hand() -> None:
    """300 + 200 + 500 MACs over 40 + 10 bytes in 400 cycles."""
    counters = {"macs_sddmm": 300, "macs_spmm": 200, "macs_dense": 500, "macs_predictor": 10**6}
    counters |= {"dram_read_bytes": 40, "dram_write_bytes": 10}
    assert roofline.run_point({"counters": counters, "cycles": 400}) == ("run", 20.0, 2.5)


def test_an_outlier_does_not_make_an_axis_matter(rows: Any) -> None:
    """Medians of (10, 11, 900) and (10, 22, 23) are 11 and 22."""
    cycles = {1: (10, 11, 900), 2: (10, 22, 23)}
    found = [
        rows.ran(3 * at + repeat, {"a": at, "b": repeat}, {"cycles": float(value)})
        for at, values in cycles.items()
        for repeat, value in enumerate(values)
    ]
    (group,), axes = groups(found), axes_of(found)
    assert sensitivity.effect(group, axes[0], group.metrics[0]) == 2


def test_a_picture_does_not_depend_on_the_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = np.tri(512, dtype=np.bool_) & (np.random.default_rng(0).random((512, 512)) < 0.2)
    pictures = []
    for block_rows in (512, 100, 7):
        monkeypatch.setattr(positions, "BLOCK_POSITIONS", 512 * block_rows)
        pictures.append(masks.picture(load_trace("smollm2-l512").layer(13), 0, KeepMask.from_dense(keep)).kept)
    cells = keep.reshape(128, 4, 128, 4).sum(axis=(1, 3)) / np.tri(512).reshape(128, 4, 128, 4).sum(axis=(1, 3)).clip(1)
    for kept in pictures:
        np.testing.assert_array_equal(np.nan_to_num(kept), cells)


SIZES = {"µs": 1e3, "µJ": 1e6, "µJ·µs": 1e9, "cycles": 1, "mm²": 1, "ratio": 1, "dense / ours": 1}
"""How many ns, pJ, pJ·ns one of each unit is."""

UNITS = {"time_ns": "µs", "energy_pj": "µJ", "edp": "µJ·µs", "area_mm2": "mm²", "cycles": "cycles"}


@pytest.mark.parametrize("name", METRICS)
def test_units_and_sizes_of_metrics_agree(name: str) -> None:
    shown = quantity(name)
    assert shown.unit == UNITS.get(name, shown.unit)
    assert shown.size == SIZES[shown.unit]
    if name in IN_UNIT:
        words, size = column_title(name)
        assert (words.rsplit(" ", 1)[-1], size) == (shown.unit, shown.size)
