"""Codes, requantisation and exact products against Python's own integers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsasim.errors import ConfigError
from dsasim.methods.quantise import (
    Multiplier,
    exact_matmul,
    largest_code,
    quantise,
    requantise,
)
from dsasim.train.least_squares import least_squares_scale


def test_codes_are_symmetric() -> None:
    assert [largest_code(bits) for bits in (2, 4, 8)] == [1, 7, 127]
    assert quantise(np.array([-9.0, 9.0]), 1.0, 4).tolist() == [-7, 7]


def test_quantise_rounds_half_to_even() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5])
    assert quantise(values, 1.0, 4).tolist() == [0, 2, 2, 0, -2]


def test_requantise_worked_example() -> None:
    quarter = Multiplier.of(0.25)
    assert (int(quarter.mantissa), int(quarter.shift)) == (2**23, 25)
    assert requantise(np.array([6, 10, -6, 99]), quarter, 4).tolist() == [2, 2, -2, 7]


def test_multiplier_worked_example() -> None:
    factor = Multiplier.of(0.75)
    assert (int(factor.mantissa), int(factor.shift)) == (12582912, 24)


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.floats(2.0**-37, 2.0**20), st.sampled_from([2, 4, 8]))
def test_requantise_is_the_exact_product_rounded_half_to_even(accumulator: int, factor: float, bits: int) -> None:
    multiplier = Multiplier.of(factor)
    exact = Fraction(accumulator) * int(multiplier.mantissa) / 2 ** int(multiplier.shift)
    top = largest_code(bits)
    assert requantise(np.array([accumulator]), multiplier, bits).tolist() == [max(-top, min(top, round(exact)))]


@given(st.floats(2.0**-37, 2.0**20))
def test_a_multiplier_carries_24_bits(factor: float) -> None:
    multiplier = Multiplier.of(factor)
    held = Fraction(int(multiplier.mantissa)) / 2 ** int(multiplier.shift)
    assert abs(held / Fraction(factor) - 1) <= Fraction(1, 2**24)


@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0**40, 2.0**-60])
def test_a_factor_no_shift_can_express_is_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match=r"requantisation factor of .* is outside \[2\^-39, 2\^23\)$"):
        Multiplier.of(factor)


def test_the_least_and_the_largest_factor() -> None:
    """A mantissa of 24 bits shifted by 62, and one by 1; the next floats beyond are refused."""
    least, beyond = Multiplier.of(2.0**-39), 2.0**23
    assert (int(least.mantissa), int(least.shift)) == (2**23, 62)
    assert int(Multiplier.of(np.nextafter(beyond, 0)).shift) == 1
    for factor in (np.nextafter(2.0**-39, 0), beyond):
        with pytest.raises(ConfigError, match="requantisation factor"):
            Multiplier.of(factor)


@pytest.mark.parametrize(("left", "right", "length"), [(7, 7, 100), (127, 127, 2000), (46_000, 1000, 46)])
def test_products_are_exact_up_to_their_bound(left: int, right: int, length: int) -> None:
    row, column = [left] * length, [right] * (length - 1) + [right - 1]
    product = exact_matmul(np.array([row]), np.array(column)[:, None], left, right)
    assert product.tolist() == [[sum(a * b for a, b in zip(row, column, strict=True))]]


def test_sums_beyond_int32_are_refused() -> None:
    with pytest.raises(ConfigError, match="beyond int32 accumulators"):
        exact_matmul(np.ones((1, 140_000), np.int64), np.ones((140_000, 1), np.int64), 127, 127)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_least_squares_scale_beats_its_neighbours(bits: int) -> None:
    values = np.random.default_rng(0).normal(size=4000)

    def error(scale: float) -> float:
        return float(np.sum((quantise(values, scale, bits) * scale - values) ** 2))

    best = least_squares_scale(values, bits)
    grid = np.linspace(0.2, 3, 200) * best
    assert error(best) <= 1.005 * min(error(scale) for scale in grid)


def test_four_bits_of_a_normal_variable_need_a_third_of_its_deviation() -> None:
    # Max's optimum for 16 uniform levels is 0.3352 deviations a step (Max 1960); 15 symmetric levels need a bit more.
    assert least_squares_scale(np.random.default_rng(1).normal(size=100_000), 4) == pytest.approx(0.35, abs=0.02)


def test_all_zero_values_get_scale_one() -> None:
    assert least_squares_scale(np.zeros(5), 4) == 1.0
