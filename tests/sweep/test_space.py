"""Points by number: their values, their designs, and why some have none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dsasim.sweep.space import DesignSpace
from dsasim.trace.masks import import_mask


def test_the_first_axis_is_slowest_and_the_trace_fastest(spec: Callable) -> None:
    """The worked example of DesignSpace: axes of 2 and 3 values and 2 traces; point 7 is (1, 0) on trace 1."""
    one = "{trace: minilm-l128, layers: 1}"
    space = DesignSpace(
        spec(traces=f"[{one}, minilm-l128]", axes="{pe_array.lanes: [1, 2], predictor.rank: [3, 5, 7]}")
    )
    assert space.num_points == 12
    assert space.indices(7) == (1, 0, 1)
    assert space.point(7).axes == {"pe_array.lanes": 2, "predictor.rank": 3}
    assert space.point(7).trace.layers is None
    assert len({space.indices(number) for number in range(12)}) == 12


def test_a_point_is_the_base_with_its_values(spec: Callable) -> None:
    space = DesignSpace(spec(axes="{pe_array.lanes: [1, 2], mask_generator.density: 0.05}"))
    for number, lanes in enumerate((1, 2)):
        point = space.point(number)
        assert (point.status, point.arch.pe_array.lanes, str(point.arch.mask_generator.density)) == (
            "ready",
            lanes,
            "0.05",
        )
    assert space.point(0).key != space.point(1).key


def test_values_that_do_not_go_together_are_invalid_and_named(spec: Callable) -> None:
    point = DesignSpace(spec(axes="{scheduler.tile_rows: 30}")).point(0)
    assert (point.status, point.arch) == ("invalid", None)
    assert point.reason == (
        "scheduler.tile_rows in the sweep: scheduler: tile_rows 30 is not a multiple of token_parallelism 4"
    )


def test_limits_on_the_design_and_its_area_are_known_before_a_run(spec: Callable) -> None:
    space = DesignSpace(spec(constraints="[pe_array.lanes <= 4, area_mm2 < 3]"))
    found = [space.point(number) for number in range(4)]
    assert [point.status for point in found] == ["ready", "ready", "infeasible", "infeasible"]
    assert found[2].reason.startswith("constraint area_mm2 < 3: it is 3.1")
    assert found[3].reason == "constraint pe_array.lanes <= 4: it is 8"


def test_a_number_that_the_design_does_not_have_breaks_its_limit(spec: Callable) -> None:
    point = DesignSpace(spec(axes="{predictor.rank: [null]}", constraints="[predictor.rank < 9]")).point(0)
    assert point.reason == "constraint predictor.rank < 9: it is None"


def test_a_trace_of_masks_makes_designs_equal_that_differ_in_prediction(spec: Callable, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((1, 1, 8, 8), bool))
    import_mask(tmp_path / "m.npy", 8, tmp_path / "m.safetensors")
    axes = "{predictor.method: [oracle_topk, given]}"
    masks, real = (DesignSpace(spec(traces=trace, axes=axes)) for trace in ("m.safetensors", "minilm-l128"))
    assert masks.point(0).key == masks.point(1).key
    assert real.point(0).key != real.point(1).key


def test_what_of_a_trace_is_run_is_part_of_a_point_s_key(spec: Callable) -> None:
    chosen = ("layers: 2", "layers: 1", "layers: 2, heads: 0", "layers: 2, heads: [0, 1]")
    traces = f"[{', '.join(f'{{trace: minilm-l128, {words}}}' for words in chosen)}]"
    space = DesignSpace(spec(traces=traces, axes="{pe_array.lanes: 2}"))
    assert len({space.point(number).key for number in range(4)}) == 4
