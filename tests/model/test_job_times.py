"""How long the predictor, the mask generator and the softmax unit take: each unit's worked example, and its edges."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import mask_generator, predictor, softmax_unit
from dsasim.designs.dsa.work import Job
from dsasim.predictors.base import PredictionWork

WORK = PredictionWork(d_model=576, k=144, columns=144, rank=16, bits=4, ternary_adds_per_row=0)
MakeArch = Callable[..., ArchConfig]
SQUARE = ("predictor.array_rows=64", "predictor.array_columns=64")


def test_predictor_worked_example(make_arch: MakeArch) -> None:
    """Q~ takes 144 + 190, S~ takes 7 * 64 + 16 + 190: 988 cycles without conflict."""
    arch = make_arch(*SQUARE, "buffers.predictor.banks=64", "buffers.predictor.port_bytes=64")
    assert predictor.tile_job(arch, WORK, 64, 512) == Job(988)


def test_ports_one_bit_short_stretch_the_streaming(make_arch: MakeArch) -> None:
    """64 rows and 64 columns of 4 bits take 512 bits a cycle: 64 bytes keep up, 63 do not."""
    for port_bytes, stretch in ((64, 1), (63, 2)):
        arch = make_arch(*SQUARE, "buffers.predictor.banks=1", f"buffers.predictor.port_bytes={port_bytes}")
        job = predictor.key_job(arch, WORK, 512)
        streaming = 8 * 144
        assert job == Job(streaming * stretch + 190, streaming * (stretch - 1))


def test_the_projection_works_on_whole_inputs_and_two_bit_weights(make_arch: MakeArch) -> None:
    """64 rows of 576 inputs by 144 columns: 3 folds of 576; 64 * 8 + 64 * 2 bits a cycle fit 16 ports of 64 bytes."""
    arch = make_arch(*SQUARE, "buffers.predictor.banks=16", "buffers.predictor.port_bytes=64")
    assert predictor.projection_job(arch, WORK, 64) == Job(3 * 576 + 190)


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
    assert predictor.tile_job(shared, WORK, 64, 512) == predictor.tile_job(own, WORK, 64, 512)
    half = make_arch("predictor.array_rows=32", "predictor.array_columns=32", *ports)
    assert predictor.projection_job(shared, WORK, 64) == predictor.projection_job(half, WORK, 64)


@pytest.mark.parametrize(
    ("bits", "rank", "expected"), [(4, 16, 2), (4, 1, 1), (2, 16, 1), (2, 17, 2), (8, 256, 3), (8, 257, 4)]
)
def test_bytes_of_a_predicted_score(bits: int, rank: int, expected: int) -> None:
    """4 bits, rank 16: 8 + 4 = 12 bits, 2 bytes (the worked example); one more bit than a byte is another byte."""
    assert predictor.score_bytes(PredictionWork(1, 1, 1, rank, bits, 0)) == expected


def test_mask_generator_worked_example() -> None:
    assert mask_generator.tile_job(np.array([10, 4, 3, 9]), 2) == Job(13)


@pytest.mark.parametrize(
    ("rows", "selectors", "cycles"),
    [([5, 6, 7], 1, 18), ([5, 6, 7], 2, 12), ([5, 6, 7], 3, 7), ([5, 6, 7], 9, 7), ([0, 0], 1, 1)],
)
def test_rows_go_round_the_selectors(rows: list[int], selectors: int, cycles: int) -> None:
    assert mask_generator.tile_job(np.array(rows), selectors) == Job(cycles)


def test_softmax_worked_example(make_arch: MakeArch) -> None:
    config = make_arch(
        "softmax.exp_per_cycle=16", "softmax.div_per_cycle=16", "softmax.pipeline_depth_cycles=32"
    ).softmax
    assert softmax_unit.tile_job(config, np.array([16, 17])) == Job(38)


def test_softmax_of_nothing_takes_the_depth_and_at_least_one_cycle(make_arch: MakeArch) -> None:
    for depth, cycles in ((0, 1), (1, 1), (2, 2)):
        config = make_arch(f"softmax.pipeline_depth_cycles={depth}").softmax
        assert softmax_unit.tile_job(config, np.array([0, 0])) == Job(cycles)


def test_weights_of_a_kv_head_by_hand() -> None:
    """One W~k and two W~q of 144 columns and rank 16 at 4 bits."""
    assert predictor.weight_bits(WORK, 2) == 27648
