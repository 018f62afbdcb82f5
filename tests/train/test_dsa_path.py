"""The PyTorch prediction path against the simulator's integer path, and its gradients."""

from decimal import Decimal

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dsasim.errors import ConfigError, TraceError
from dsasim.methods.integer_path import combined_codes, head_accumulators, head_codes, project
from dsasim.methods.quantise import Multiplier, exact_matmul, largest_code
from dsasim.methods.quantise import quantise as quantise_exactly
from dsasim.methods.quantise import requantise as requantise_exactly
from dsasim.trace.positions import Positions
from dsasim.train.closed_form import FitSequence, fit_layer
from dsasim.train.dsa.codes import exact_matmul as torch_matmul
from dsasim.train.dsa.codes import quantise, requantise
from dsasim.train.dsa.path import PredictionPath

pytestmark = pytest.mark.torch


def fitted(L_q=20, L_k=20, kv_heads=2, d_model=16, cross=False, rotary_base=None):
    rng = np.random.default_rng(3)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    sequence = FitSequence(
        normal(L_q, d_model), normal(4, L_q, 8), normal(kv_heads, L_k, 8), normal(L_k, d_model) if cross else None
    )
    positions = Positions(L_q, L_k, causal=False, packed=None)
    return fit_layer([sequence], positions, Decimal("0.5"), fitted_on="random", rotary_base=rotary_base), sequence


def integer_scores(fit, bits, x_q, x_kv, head):
    """S~ of a head by the steps of methods.integer_path."""
    scale = {name: values.astype(np.float64) for name, values in fit.scales[bits].items()}
    kv_head = head // (len(fit.w_q) // len(fit.w_k))
    sides = []
    for side, x, extra, weights, at in (
        ("q", x_q, fit.extra_q, fit.w_q, head),
        ("k", x_kv, fit.extra_k, fit.w_k, kv_head),
    ):
        xp = project(x, float(scale["x"][0]), fit.projection)
        z = combined_codes(xp, float(scale["x"][0]), extra, float(scale["xp"][0]), bits)
        of_weights = fit.scales[bits][f"w_{side}"][at]
        sums = head_accumulators(z, weights[at], of_weights, bits)
        sides.append(head_codes(sums, float(scale["xp"][0]), of_weights, float(scale[side][at]), bits))
    return exact_matmul(sides[0], sides[1].T, largest_code(bits), largest_code(bits))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("cross", "kv_heads", "rotary_base"), [(False, 4, None), (False, 2, 100.0), (True, 1, None)])
def test_scores_are_those_of_the_integer_path(bits, cross, kv_heads, rotary_base) -> None:
    fit, sequence = fitted(L_k=23 if cross else 20, kv_heads=kv_heads, cross=cross, rotary_base=rotary_base)
    path = PredictionPath(fit, bits)
    x_q = torch.from_numpy(sequence.x_q)[None].repeat(2, 1, 1)
    x_q[1] *= 3  # clipped codes too
    x_kv = torch.from_numpy(sequence.x_kv)[None].repeat(2, 1, 1) if cross else None
    with torch.no_grad():
        scores, factor = path(x_q, x_kv)
    stored = path.trained(20, 23 if cross else 20)
    for sample in range(2):
        inputs = x_q[sample].numpy() if x_kv is None else x_kv[sample].numpy()
        for head in range(4):
            exact = integer_scores(stored, bits, x_q[sample].numpy(), inputs, head)
            assert np.array_equal(scores[sample, head].numpy(), exact)
            scale_k = fit.scales[bits]["k"][head // (4 // kv_heads)]
            assert factor[head] == float(fit.scales[bits]["q"][head]) * float(scale_k)
    assert len(np.unique(exact)) > 2


def test_codes_round_half_to_even_and_clip() -> None:
    values = torch.tensor([0.5, 1.5, 2.5, -2.5, 6.4, 99.0, -99.0])
    assert quantise(values, 1.0, 4).tolist() == [0, 2, 2, -2, 6, 7, -7]
    sums = torch.tensor([6.0, 10.0, -6.0, 99.0])
    assert requantise(sums, np.float64(0.25), 4).tolist() == [2, 2, -2, 7]


def test_requantisation_is_that_of_hardware_on_random_sums() -> None:
    rng = np.random.default_rng(0)
    sums = rng.integers(-(2**28), 2**28, size=20_000).astype(np.int32)
    for factor in (3e-8, 1 / 3, 0.0009765625, 2.5):
        exact = requantise_exactly(sums, Multiplier.of(factor), 8)
        assert np.array_equal(requantise(torch.from_numpy(sums), np.float64(factor), 8).numpy(), exact)
    reals = rng.normal(size=20_000).astype(np.float32)
    assert np.array_equal(quantise(torch.from_numpy(reals), 0.37, 4).numpy(), quantise_exactly(reals, 0.37, 4))


def test_the_gradient_passes_through_rounding_and_not_through_clipping() -> None:
    values = torch.tensor([0.3, 6.9, 7.1, -8.0], requires_grad=True)
    (quantise(values, 0.5, 5) * torch.tensor([1.0, 1.0, 1.0, 1.0])).sum().backward()
    assert values.grad.tolist() == [2.0, 2.0, 2.0, 0.0 if 8.0 / 0.5 > 15 else 2.0]


def test_sums_beyond_what_is_exact_are_refused() -> None:
    codes = torch.zeros(1, 40_000)
    with pytest.raises(ConfigError, match=r"beyond 2\^29"):
        torch_matmul(codes, codes.T, 127, 127)


def test_weights_learn_towards_the_scores() -> None:
    torch.manual_seed(0)
    fit, _ = fitted()
    path = PredictionPath(fit, 4)
    x = torch.randn(2, 20, 16)
    wanted = torch.randn(2, 4, 20, 20)
    optimiser = torch.optim.Adam(path.parameters(), lr=0.03)
    losses = []
    for _ in range(25):
        scores, factor = path(x)
        loss = (scores * factor.float() - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


def test_calibration_finds_scales_for_weights_that_moved() -> None:
    fit, sequence = fitted()
    path = PredictionPath(fit, 4)
    before = path.scales
    with torch.no_grad():
        path.w_q *= 2
    path.calibrate(torch.from_numpy(sequence.x_q)[None])
    assert np.allclose(path.scales["w_q"], 2 * before["w_q"], rtol=1e-5)
    assert np.allclose(path.scales["k"], before["k"], rtol=1e-5)


def test_state_brings_weights_and_scales() -> None:
    fit, _ = fitted()
    path, other = PredictionPath(fit, 4), PredictionPath(fit, 4)
    with torch.no_grad():
        path.w_q *= 2
    path.calibrate(torch.randn(1, 20, 16))
    other.load_state_dict(path.state_dict())
    x = torch.randn(1, 20, 16)
    assert torch.equal(path(x)[0], other(x)[0])


def test_position_columns_end_where_they_were_made_for() -> None:
    fit, _ = fitted(rotary_base=100.0)
    path = PredictionPath(fit, 4)
    shorter, _ = path.extras(5, 12)
    assert np.array_equal(shorter, fit.extra_q[7:12])
    with pytest.raises(TraceError, match="made for 20 positions, not 21 of 21"):
        path(torch.randn(1, 21, 16))
