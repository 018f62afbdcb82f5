"""The predicted scores against the same chain in Python integers, and how the weights of a trace are chosen."""

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.methods.base import NO_STATE
from dsasim.methods.dsa2021 import Dsa2021
from dsasim.prediction import load_predictor
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import FittedPredictor, LayerTrace
from dsasim.trace.positions import Positions, RowBlock
from dsasim.trace.store import trace_in_memory
from dsasim.train.closed_form import FitSequence, fit_layer

MakeArch = Callable[..., ArchConfig]
MakeLayer = Callable[..., LayerTrace]
Matrix = list[list[int]]


def code(value: float, scale: float, bits: int) -> int:
    top = 2 ** (bits - 1) - 1
    return max(-top, min(top, round(value / scale)))


def shifted(accumulator: int, factor: float, bits: int) -> int:
    """The accumulator times the factor, held as a 24-bit integer and a power of two."""
    fraction, exponent = math.frexp(factor)
    held = Fraction(round(fraction * 2**24)) * Fraction(2) ** (exponent - 24)
    top = 2 ** (bits - 1) - 1
    return max(-top, min(top, round(accumulator * held)))


def product(left: Matrix, right: Matrix) -> Matrix:
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*right, strict=True)] for row in left
    ]


def twin_scores(layer: LayerTrace, fitted: FittedPredictor, head: int, bits: int, rank: int) -> Matrix:
    """S~ of a head by its definition, one number at a time."""
    scales = {name: values.astype(float) for name, values in fitted.scales[bits].items()}
    scale_x, scale_z, kv_head = scales["x"][0], scales["xp"][0], layer.kv_head(head)
    x = [[code(float(value), scale_x, 8) for value in row] for row in layer.x_q()]
    xp = product(x, fitted.projection.tolist())

    def side(extra: np.ndarray, weights: np.ndarray, scale_w: np.ndarray, scale_out: float) -> Matrix:
        to_z = scale_x * math.sqrt(3 / fitted.k) / scale_z
        z = [
            [shifted(value, to_z, bits) for value in row] + [code(float(value), scale_z, bits) for value in beside]
            for row, beside in zip(xp, extra, strict=True)
        ]
        w = [[code(float(value), scale, bits) for value, scale in zip(row, scale_w, strict=False)] for row in weights]
        accumulators = product(z, [row[:rank] for row in w])
        return [
            [shifted(value, scale_z * scale / scale_out, bits) for value, scale in zip(row, scale_w, strict=False)]
            for row in accumulators
        ]

    queries = side(fitted.extra_q, fitted.w_q[head], scales["w_q"][head], scales["q"][head])
    keys = side(fitted.extra_k, fitted.w_k[kv_head], scales["w_k"][kv_head], scales["k"][kv_head])
    return product(queries, [list(column) for column in zip(*keys, strict=True)])


def all_scores(predictor: Dsa2021, layer: LayerTrace, head: int) -> np.ndarray:
    """Predicted scores [L_q, L_k] of a head, those of forbidden keys included."""
    return predictor.scorer(head)(RowBlock(0, layer.L_q, layer.L_k))


@pytest.mark.parametrize("rotary_base", [None, 100.0])
@pytest.mark.parametrize(("bits", "rank"), [(2, 4), (4, 4), (4, 2), (8, 4)])
def test_scores_equal_python_integers_bit_for_bit(
    make_arch: MakeArch, make_layer: MakeLayer, rotary_base: float | None, bits: int, rank: int
) -> None:
    layer = make_layer(rotary_base)
    arch = make_arch("predictor.sigma=0.5", f"predictor.bits={bits}", f"predictor.rank={rank}")
    predictor, fitted = Dsa2021(arch, layer, NO_STATE), layer.predictor(Decimal("0.5"))
    assert fitted is not None
    for head in (3, 0, 1):
        assert all_scores(predictor, layer, head).tolist() == twin_scores(layer, fitted, head, bits, rank)


def test_the_work_counts_extra_columns_and_ternary_adds(make_arch: MakeArch, make_layer: MakeLayer) -> None:
    layer = make_layer(100.0)
    work, fitted = load_predictor(make_arch("predictor.sigma=0.5"), layer).work, layer.predictor(Decimal("0.5"))
    assert work is not None
    assert fitted is not None
    project, keys, queries, scores = work.operations
    columns = 16 + fitted.position_columns + 1
    assert (project.sizes(rows=8), project.right_bits, project.result_bits) == ((8, 32, 16), 2, 4)
    assert project.counts == {"adds_predictor": np.count_nonzero(fitted.projection)}
    assert keys.sizes() == (24, columns, 4)
    assert queries.sizes(rows=8) == (8, columns, 4)
    assert scores.sizes(rows=8, span=20) == (8, 4, 20)


def test_top_k_keeps_the_highest_predicted_scores(make_arch: MakeArch, make_layer: MakeLayer) -> None:
    layer = make_layer()
    predictor = load_predictor(make_arch("predictor.sigma=0.5", "mask_generator.density=0.25"), layer)
    selection, scores = predictor.select(1), all_scores(predictor.method, layer, 1)
    for i, keys in enumerate(np.split(selection.keep.indices, selection.keep.indptr[1:-1])):
        wanted = math.ceil((i + 1) / 4)
        assert keys.tolist() == sorted(sorted(range(i + 1), key=lambda j, row=i: -scores[row, j])[:wanted])
    assert selection.comparisons.sum() >= (24 * 25) // 2
    assert (selection.row_cycles > 0).all()


def test_threshold_compares_dequantised_scores_times_scale(
    make_arch: MakeArch, make_arrays: Callable[..., LayerArrays], make_layer: MakeLayer
) -> None:
    """Heads have scales of their own here, and thresholds lie between neighbouring scores."""
    fitted = make_layer().predictor(Decimal("0.5"))
    assert fitted is not None
    own = {"q": np.float32([1, 2, 3, 4]), "k": np.float32([1, 3])}
    scales = {name: values * own.get(name, np.float32(1)) for name, values in fitted.scales[4].items()}
    layer = trace_in_memory("t", [make_arrays(predictors=(replace(fitted, scales={4: scales}),))]).layer(5)
    threshold = ("predictor.sigma=0.5", "mask_generator.selection=threshold", "mask_generator.threshold=0.2")
    for head, kv_head in ((0, 0), (1, 0), (2, 1), (3, 1)):
        codes = all_scores(Dsa2021(make_arch(*threshold), layer, NO_STATE), layer, head)
        real = codes * float(scales["q"][head]) * float(scales["k"][kv_head]) * layer.scale
        found = np.unique(real[layer.allowed()])
        for at in (len(found) // 2, len(found) * 3 // 4, len(found) - 2):
            middle = (found[at] + found[at + 1]) / 2
            arch = make_arch(*threshold, f"mask_generator.threshold={middle:.9f}")
            keep = load_predictor(arch, layer).select(head).keep.to_dense()
            assert keep.any()
            assert np.array_equal(keep, (real > middle) & layer.allowed())


def test_more_bits_find_more_of_the_exact_keys(make_arch: MakeArch, make_layer: MakeLayer) -> None:
    layer = make_layer(L=48)
    exact = load_predictor(make_arch("predictor.method=oracle_topk", "mask_generator.density=0.2"), layer)

    def found(bits: int) -> int:
        arch = make_arch("predictor.sigma=0.5", f"predictor.bits={bits}", "mask_generator.density=0.2")
        predictor = load_predictor(arch, layer)
        masks = [(predictor.select(h).keep.to_dense(), exact.select(h).keep.to_dense()) for h in range(4)]
        return sum(int((ours & best).sum()) for ours, best in masks)

    assert found(2) < found(4) < found(8)


def test_missing_sigma_names_what_is_on_file_and_what_to_do(make_arch: MakeArch, make_layer: MakeLayer) -> None:
    with pytest.raises(ConfigError) as error:
        load_predictor(make_arch("predictor.sigma=0.3"), make_layer())
    assert str(error.value) == (
        "predictor.sigma: layer 5 of the trace has no weights for 0.3; it has 0.5. "
        "`dsasim trace fit-predictor` makes them; predictor.method=oracle_topk needs none"
    )


def test_a_trace_without_any_weights_says_none(make_arch: MakeArch, make_arrays: Callable[..., LayerArrays]) -> None:
    layer = trace_in_memory("bare", [make_arrays()]).layer(5)
    with pytest.raises(ConfigError, match=r"for 0\.25; it has none\."):
        load_predictor(make_arch(), layer)


def test_sigma_is_compared_as_a_number(make_arch: MakeArch, make_layer: MakeLayer) -> None:
    assert load_predictor(make_arch("predictor.sigma=0.50"), make_layer()).work is not None


def test_a_rank_above_the_stored_one_is_refused(make_arch: MakeArch, make_layer: MakeLayer) -> None:
    with pytest.raises(ConfigError, match=r"predictor\.rank: 5 is above the stored rank 4 of sigma 0\.5"):
        load_predictor(make_arch("predictor.sigma=0.5", "predictor.rank=5"), make_layer())


def test_cross_attention_projects_both_inputs(make_arch: MakeArch, make_arrays: Callable[..., LayerArrays]) -> None:
    base = make_arrays(causal=False)
    keys = make_arrays(seed=3, L=30)
    sequence = FitSequence(base.x_q, base.q, keys.k, keys.x_q)
    every = Positions(24, 30, causal=False, packed=None)
    fitted = fit_layer([sequence], every, Decimal("0.5"), fitted_on="itself", rotary_base=100.0)
    arrays = LayerArrays(
        number=5,
        q=base.q,
        k=keys.k,
        v=keys.v,
        x_q=base.x_q,
        x_kv=keys.x_q,
        causal=False,
        scale=0.5,
        predictors=(fitted,),
    )
    layer = trace_in_memory("cross", [arrays], dtype="float32").layer(5)
    predictor = Dsa2021(make_arch("predictor.sigma=0.5", "predictor.bits=8"), layer, NO_STATE)
    exact, predicted = layer.q(0) @ layer.k(0).T, all_scores(predictor, layer, 0)
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(exact, predicted, strict=True)]
    assert predicted.shape == (24, 30)
    assert np.mean(agreement) > 0.8
