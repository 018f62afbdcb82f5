"""How long the predictor, the mask generator and the softmax unit take: each unit's worked example, and its edges."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import mask_generator, predictor, softmax_unit
from dsasim.designs.dsa.work import Work
from dsasim.errors import ConfigError
from dsasim.methods.dsa2021 import prediction_of, score_bits
from dsasim.methods.operation import ROWS, SPAN, Operation, Symbol

PREDICTION = prediction_of(
    d_model=576, k=144, columns=144, rank=16, bits=4, ternary_adds=0,
    num_keys=512, input_rows=(512,), heads_per_kv_head=2,
)  # fmt: skip
MakeArch = Callable[..., ArchConfig]


def time_of(work: Work) -> tuple[int, int]:
    return work.cycles, work.conflict


def tile(arch: ArchConfig) -> Work:
    return predictor.operations_work(arch, PREDICTION.of("query_tile"), 64, 512)


def projection(arch: ArchConfig) -> Work:
    return predictor.operations_work(arch, PREDICTION.of("layer"), 64)


SQUARE = ("predictor.array_rows=64", "predictor.array_columns=64")


def test_predictor_worked_example(make_arch: MakeArch) -> None:
    """Q~ takes 144 + 190, S~ takes 7 * 64 + 16 + 190: 988 cycles without conflict."""
    arch = make_arch(*SQUARE, "buffers.predictor.banks=64", "buffers.predictor.port_bytes=64")
    assert time_of(tile(arch)) == (988, 0)


def test_ports_one_bit_short_stretch_the_streaming(make_arch: MakeArch) -> None:
    """64 rows and 64 columns of 4 bits take 512 bits a cycle: 64 bytes keep up, 63 do not."""
    for port_bytes, stretch in ((64, 1), (63, 2)):
        arch = make_arch(*SQUARE, "buffers.predictor.banks=1", f"buffers.predictor.port_bytes={port_bytes}")
        job = predictor.operations_work(arch, PREDICTION.of("kv_head"))
        streaming = 8 * 144
        assert time_of(job) == (streaming * stretch + 190, streaming * (stretch - 1))


def test_the_projection_works_on_whole_inputs_and_two_bit_weights(make_arch: MakeArch) -> None:
    """64 rows of 576 inputs by 144 columns: 3 folds of 576; 64 * 8 + 64 * 2 bits a cycle fit 16 ports of 64 bytes."""
    arch = make_arch(*SQUARE, "buffers.predictor.banks=16", "buffers.predictor.port_bytes=64")
    assert time_of(projection(arch)) == (3 * 576 + 190, 0)


COUPLED = ("pe_array.organisation=coupled", "pe_array.lanes=4", "pe_array.macs_per_row=16", "pe_array.bits=16")


@pytest.mark.parametrize(("bits", "shape"), [(16, (16, 16)), (8, (32, 32)), (4, (64, 64)), (2, (128, 128))])
def test_a_coupled_array_has_more_pes_the_narrower_the_operands(
    make_arch: MakeArch, bits: int, shape: tuple[int, int]
) -> None:
    """4 lanes of 4 rows by 16 MACs of 16 bits: (16 / bits)^2 times as many of `bits` (the worked example)."""
    assert predictor.array_shape(make_arch(*COUPLED), bits) == shape


def test_a_coupled_prediction_takes_as_long_as_on_an_array_of_its_own(make_arch: MakeArch) -> None:
    """64 x 64 PEs of 4 bits either way; XP in 8 bits has 32 x 32 of them."""
    ports = ("buffers.predictor.banks=64", "buffers.predictor.port_bytes=64")
    own, shared = make_arch(*SQUARE, *ports), make_arch(*COUPLED, *ports)
    assert tile(shared) == tile(own)
    half = make_arch("predictor.array_rows=32", "predictor.array_columns=32", *ports)
    assert projection(shared) == projection(half)


@pytest.mark.parametrize(
    ("bits", "rank", "expected"), [(4, 16, 2), (4, 1, 1), (2, 16, 1), (2, 17, 2), (8, 256, 3), (8, 257, 4)]
)
def test_bytes_of_a_predicted_score(bits: int, rank: int, expected: int) -> None:
    """4 bits, rank 16: 8 + 4 = 12 bits, 2 bytes (the worked example); one more bit than a byte is another byte."""
    assert score_bits(bits, rank) == 8 * expected


def test_mask_generator_worked_example() -> None:
    assert time_of(mask_generator.tile_job(np.array([10, 4, 3, 9]), 2)) == (13, 0)


@pytest.mark.parametrize(
    ("rows", "selectors", "cycles"),
    [([5, 6, 7], 1, 18), ([5, 6, 7], 2, 12), ([5, 6, 7], 3, 7), ([5, 6, 7], 9, 7), ([0, 0], 1, 1)],
)
def test_rows_go_round_the_selectors(rows: list[int], selectors: int, cycles: int) -> None:
    assert time_of(mask_generator.tile_job(np.array(rows), selectors)) == (cycles, 0)


def test_softmax_worked_example(make_arch: MakeArch) -> None:
    config = make_arch(
        "softmax.exp_per_cycle=16", "softmax.div_per_cycle=16", "softmax.pipeline_depth_cycles=32"
    ).softmax
    assert time_of(softmax_unit.tile_jobs(config, np.array([16, 17]), 2, 2)[0]) == (38, 0)


def test_softmax_of_nothing_takes_the_depth_and_at_least_one_cycle(make_arch: MakeArch) -> None:
    for depth, cycles in ((0, 1), (1, 1), (2, 2)):
        config = make_arch(f"softmax.pipeline_depth_cycles={depth}").softmax
        assert time_of(softmax_unit.tile_jobs(config, np.array([0, 0]), 2, 2)[0]) == (cycles, 0)


def test_weights_of_a_kv_head_by_hand() -> None:
    """One W~k and two W~q of 144 columns and rank 16 at 4 bits."""
    assert PREDICTION.storage.weight_bits == 27648


def test_additions_run_on_the_accumulators(make_arch: MakeArch) -> None:
    """3 x 5 additions of 8-bit values on 2 x 4 PEs: 2 cycles, 15 bytes read, 3 sums of 16 bits written."""
    arch = make_arch("predictor.array_rows=2", "predictor.array_columns=4")
    pooled = Operation("pooled", "add", "kv_head", 3, 5, 1, 8, 8, 16)
    work = predictor.operation_work(arch, pooled)
    assert work == Work(
        2,
        events={"predictor_buffer_read_bytes": 15, "predictor_buffer_write_bytes": 6, "adds_predictor": 15},
    )


def test_a_kind_that_the_unit_has_no_hardware_for_is_refused(make_arch: MakeArch) -> None:
    with pytest.raises(ConfigError, match=r"its signs is of kind popcount, and the predictor unit of this design does"):
        predictor.operation_work(make_arch(), Operation("signs", "popcount", "query_tile", ROWS, 1, SPAN, 1, 1, 8))


def test_a_symbol_is_rounded_up() -> None:
    blocks = Operation("blocks", "product", "query_tile", Symbol("rows", 16), 64, Symbol("span", 16), 8, 8, 16)
    assert blocks.sizes(rows=64, span=100) == (4, 64, 7)
