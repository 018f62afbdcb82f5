"""What a method reads of query rows, and what its masks wait for, on the machine dsa."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from plugin_files import watched

from dsasim import registry
from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory

METHOD = """
from decimal import Decimal
from dsasim.methods.base import Method
from dsasim.methods.operation import ROWS, SPAN, Operation, Prediction, Storage
from dsasim.trace.scores import exact_scorer


class Probe(Method):
    kinds = ("product",)
    scored = True

    @property
    def prediction(self):
        d, per = self.layer.d_head, {per!r}
        return Prediction(
            (Operation("scores", "product", per, ROWS if per == "query_tile" else 1, d, SPAN, 8, 8, 16),),
            Storage(weight_bits={weights}, query_row_bytes={rows}, score_bytes=2),
            barrier={barrier!r},
        )

    def scorer(self, head):
        return exact_scorer(self.layer, head)


METHODS = {{"probe": Probe}}
"""

DESIGN = (
    "predictor.method=probe",
    "predictor.bits=8",
    "scheduler.token_parallelism=2",
    "scheduler.tile_rows=4",
    "pe_array.lanes=2",
    "mask_generator.density=0.5",
)


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ArchConfig]:
    """A design with a method that waits for `barrier` and reads `rows` bytes a query row."""
    monkeypatch.setenv(registry.VARIABLE, "")

    def make(
        *overrides: str, barrier: str = "row", rows: int = 0, weights: int = 0, per: str = "query_tile"
    ) -> ArchConfig:
        path = tmp_path / "probe.py"
        path.write_text(METHOD.format(barrier=barrier, rows=rows, weights=weights, per=per))
        monkeypatch.setenv(registry.VARIABLE, "")
        registry._module.cache_clear()
        registry.use_plugins([str(path)])
        return load_arch("dsa-decoupled", (*DESIGN, *overrides))

    yield make
    for name in [name for name in sys.modules if name.startswith("dsasim_plugin_")]:
        del sys.modules[name]
    registry._module.cache_clear()


@pytest.fixture
def trace() -> AttentionTrace:
    """Two query heads of 12 tokens by 4 numbers: three tiles a head."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 12, 4)).astype(np.float32) for _ in range(3))
    x = rng.normal(size=(12, 8)).astype(np.float32)
    return trace_in_memory("three tiles", [LayerArrays(number=0, q=q, k=k, v=v, x_q=x, causal=False, scale=0.5)])


SLOTS = ("buffers.predictor.num_slots=3",)


def test_query_rows_are_read_tile_by_tile_into_slots_that_predictions_free(
    design: Callable[..., ArchConfig], trace: AttentionTrace
) -> None:
    jobs, result = watched(design(rows=6), trace)
    assert jobs.moved["dma_predictor"] == [4 * 6] * 6
    plain, less = watched(design(), trace)
    assert not plain.moved["dma_predictor"]
    assert less.cycles < result.cycles
    written = "predictor_buffer_write_bytes"
    assert result.counters[written] - less.counters[written] == 6 * 24
    # two slots: the third tile's rows are asked for when the first tile has been predicted
    assert jobs.ends["query rows of layer 0 head 0 tile 2"][0] > jobs.done["predictor"][0].makes.at


def test_without_keys_of_its_own_a_method_waits_for_what_it_reads_of_a_kv_head(
    design: Callable[..., ArchConfig], trace: AttentionTrace
) -> None:
    jobs, _ = watched(design(weights=800), trace)
    assert jobs.moved["dma_predictor"] == [100, 100]
    for head, job in ((0, jobs.done["predictor"][0]), (1, jobs.done["predictor"][3])):
        assert job.makes.at > jobs.ends[f"predictor weights of layer 0 kv head {head}"][0]


@pytest.mark.parametrize("organisation", ["decoupled", "coupled"])
@pytest.mark.parametrize("split", ["groups", "heads"])
def test_masks_of_a_head_wait_for_all_its_scores(
    design: Callable[..., ArchConfig], trace: AttentionTrace, organisation: str, split: str
) -> None:
    rows = ("scheduler.tile_rows=8",) if split == "heads" else ()
    layout = (f"pe_array.organisation={organisation}", f"pe_array.lane_split={split}", *rows, *SLOTS)
    jobs, result = watched(design(*layout, barrier="head"), trace)
    assert all(result.invariants.values())
    heads = 1 if split == "heads" else 2
    predicted = [job.makes.at for job in jobs.done["predictor"]]
    selected = jobs.done["mask_generator"]
    assert len(selected) == 3 * heads
    for at, job in enumerate(selected):
        head = at // 3
        assert job.makes.at - job.cycles >= max(predicted[3 * head : 3 * head + 3])
    row, _ = watched(design(*layout), trace)
    assert row.done["mask_generator"][0].makes.at < max(job.makes.at for job in row.done["predictor"][:3])


def test_fewer_slots_than_tiles_of_a_head_are_refused(design: Callable[..., ArchConfig], trace: AttentionTrace) -> None:
    with pytest.raises(
        ConfigError, match=r"^buffers\.predictor: predictor\.method probe .* 3 tiles of 4 rows.* 2 slots"
    ):
        watched(design(barrier="head"), trace)


@pytest.mark.parametrize("barrier", ["layer", "step"])
def test_what_this_machine_does_not_wait_for_is_refused(
    design: Callable[..., ArchConfig], trace: AttentionTrace, barrier: str
) -> None:
    with pytest.raises(
        ConfigError, match=rf"^predictor\.method probe: masks wait for the scores of a whole {barrier};"
    ):
        watched(design(barrier=barrier), trace)


@pytest.mark.parametrize("barrier", ["none", "row_statistics"])
def test_less_than_a_row_is_a_row(design: Callable[..., ArchConfig], trace: AttentionTrace, barrier: str) -> None:
    """Units hand over whole tiles: nothing is gained by waiting for less."""
    assert watched(design(barrier=barrier), trace)[1] == watched(design(), trace)[1]


def test_a_method_without_an_operation_a_tile_is_refused(
    design: Callable[..., ArchConfig], trace: AttentionTrace
) -> None:
    with pytest.raises(ConfigError, match=r"^predictor\.method probe: has no operation a tile of queries"):
        watched(design(per="kv_head"), trace)
