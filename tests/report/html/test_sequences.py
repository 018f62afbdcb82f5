"""What a run on several sequences shows: each row, point and picture says which sequence it is of."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.errors import ConfigError
from dsasim.report.files import write_json
from dsasim.report.html.heads import head_map
from dsasim.report.html.inputs import read_input
from dsasim.report.html.masks import mask_pictures, parse_heads
from dsasim.report.html.roofline import head_points, layer_points
from dsasim.report.html.run import TOGETHER, run_page
from dsasim.sim.over_time import OverTime
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.synthetic import Synthetic, write_synthetic

pytest.importorskip("plotly")

LABELS = ["0 sequence 0", "0 sequence 1", "1 sequence 0", "1 sequence 1"]


class Batch(NamedTuple):
    result: dict[str, Any]
    over_time: OverTime
    trace: AttentionTrace
    path: str


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Two layers of two heads, of which the second is left out, on two sequences."""
    path = tmp_path_factory.mktemp("batch") / "batch.safetensors"
    wanted = Synthetic("random", Decimal("0.25"), 24, 24, 2, 2, 1, 16, num_sequences=2)
    write_synthetic(path, wanted)
    trace, watcher = load_trace(path), OverTime()
    result = simulate(load_arch("dsa-decoupled"), trace, heads=[0], watchers=[watcher], gpus=())
    return Batch(result.to_json(), watcher, trace, str(path))


def test_rows_and_points_name_their_sequence(batch: Batch) -> None:
    assert head_map(batch.result, "density")["data"][0]["y"] == LABELS
    points = list(layer_points(batch.result, batch.over_time))
    assert [name for name, _, _ in points] == [f"layer {label}" for label in LABELS]
    heads = list(head_points(batch.result, batch.over_time))
    assert [name for name, _, _ in heads] == [f"layer {label} head 0" for label in LABELS]


def test_the_bytes_of_a_layer_are_told_apart_by_sequence(batch: Batch) -> None:
    """Of equal shapes each asks for as much; together they are all that was asked for."""
    assert set(batch.over_time.layer_bytes) == {(layer, s) for layer in (0, 1) for s in (0, 1)}
    (each,) = set(batch.over_time.layer_bytes.values())
    counters = batch.result["counters"]
    assert 4 * each == counters["dram_read_bytes"] + counters["dram_write_bytes"]


def test_the_page_of_a_batch(batch: Batch, tmp_path: Path) -> None:
    """Also when the result is read back from a file."""
    path = tmp_path / "r.json"
    write_json(str(path), "--json", batch.result)
    found = read_input(str(path))
    assert [layer["sequence"] for layer in found["layers"]] == [0, 1, 0, 1]
    page = run_page(found).html()
    assert "Layers 0, 1; 2 sequences; 4 of 8 heads" in page
    assert "0 sequence 1" in page
    assert TOGETHER not in page


def test_pictures_of_masks_are_of_the_sequence_asked_for(batch: Batch, make_dense: Callable) -> None:
    assert parse_heads("1:0:1,0:1", batch.trace) == [(1, 0, 1), (0, 1, 0)]
    (shown,) = mask_pictures(batch.result, batch.path, "1:0:1")
    assert (shown.layer, shown.head, shown.cell) == ("1 sequence 1", 0, 1)
    assert (shown.kept > 0).tolist() == make_dense(batch.trace, 1, 1)
    assert make_dense(batch.trace, 1, 0) != make_dense(batch.trace, 1, 1)
    first = mask_pictures(batch.result, batch.path, None)
    assert [picture.layer for picture in first] == LABELS
    page = run_page(batch.result, None, first).html()
    assert "layer 1 sequence 1 head 0" in page
    with pytest.raises(ConfigError, match=r"--mask-heads 1:0:2: batch has no sequence 2; it has 0 to 1"):
        parse_heads("1:0:2", batch.trace)


@pytest.fixture
def make_dense() -> Callable[[AttentionTrace, int, int], list[list[bool]]]:
    """The stored mask of head 0."""
    import numpy as np

    def dense(trace: AttentionTrace, number: int, sequence: int) -> list[list[bool]]:
        layer = trace.layer(number, sequence)
        bits: list[list[bool]] = np.unpackbits(layer.given_bits(0), axis=1)[:, : layer.L_k].astype(bool).tolist()
        return bits

    return dense
