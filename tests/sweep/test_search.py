"""Search: a function of the seed and the results, whatever runs them."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import sweep_tasks as tasks

from dsasim.errors import ConfigError
from dsasim.sweep.search import _nearest_new, search
from dsasim.sweep.spec import Strategy
from dsasim.sweep.store import RESULTS

pytest.importorskip("optuna", reason="the extra sweep is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

AXES = "{pe_array.lanes: {from: 1, to: 40}, scheduler.tile_rows: [30, 32], softmax.exp_per_cycle: [4, 8, 16]}"


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_the_same_points_for_any_workers_and_after_a_resume(
    spec: Callable, sweep: Callable, tmp_path: Path, method: str
) -> None:
    searching = spec(axes=AXES, strategy=f"{{method: {method}, points: 50, seed: 3}}")
    found = [sweep(searching, tasks.quick, folder, workers) for folder, workers in (("a", 1), ("b", 2))]
    whole = (tmp_path / "a" / RESULTS).read_bytes()
    assert (tmp_path / "b" / RESULTS).read_bytes() == whole
    assert len(found[0].outcomes) == 50
    assert 0 < len(found[0].with_status("invalid")) < 40  # tile_rows 30: asked for, and told as failed
    lines = whole.splitlines(keepends=True)
    (tmp_path / "a" / RESULTS).write_bytes(b"".join(lines[20:40]))
    sweep(searching, tasks.quick, "a", 1, resume=True)
    assert (tmp_path / "a" / RESULTS).read_bytes() == whole


def test_the_seed_decides(spec: Callable, sweep: Callable) -> None:
    chosen = [
        set(
            sweep(
                spec(axes=AXES, strategy=f"{{method: nsga2, points: 20, seed: {seed}}}"), tasks.quick, str(seed)
            ).outcomes
        )
        for seed in (1, 2)
    ]
    assert chosen[0] != chosen[1]


def test_a_small_space_is_exhausted_and_the_search_ends(spec: Callable, sweep: Callable) -> None:
    result = sweep(spec(strategy="{method: nsga2, points: 100}"), tasks.quick)
    assert sorted(result.outcomes) == [0, 1, 2, 3]


def test_points_on_several_traces_cannot_be_compared(spec: Callable) -> None:
    with pytest.raises(ConfigError, match="name one trace"):
        spec(traces="[minilm-l128, smollm2-l512]", strategy="{method: tpe, points: 4}")


def test_a_repeat_of_tpe_becomes_the_nearest_new_point() -> None:
    """On a board of 3 by 3, from a corner: asked for with one neighbour, then with all but the far corner."""
    source = random.Random(0)
    board = (3, 3)
    assert _nearest_new((1, 1), board, set(), source) == (1, 1)
    assert _nearest_new((0, 0), board, {0, 1}, source) == (1, 0)
    assert _nearest_new((0, 0), board, set(range(8)), source) == (2, 2)
    steps = {sum(_nearest_new((0, 0), board, {0}, source)) for _ in range(20)}
    assert steps == {1}


def test_tpe_asks_for_no_point_twice_and_for_all_in_the_end(spec: Callable) -> None:
    searching = spec(axes="{pe_array.lanes: [1, 2, 4, 8], softmax.exp_per_cycle: [4, 8, 16]}")
    asked: list[int] = []
    search_ = search(searching, (4, 3), Strategy("tpe", 50, 1))
    with suppress(StopIteration):
        numbers = next(search_)
        while True:
            asked += numbers
            numbers = search_.send({number: (1.0 + number, 12.0 - number) for number in numbers})
    assert sorted(asked) == list(range(12))
