"""The fit against a direct solution, what it recovers exactly, and what its columns mean."""

from decimal import Decimal

import numpy as np
import pytest

from dsasim.errors import TraceError
from dsasim.trace.packing import pack_bits
from dsasim.trace.positions import Positions
from dsasim.train import bilinear
from dsasim.train.bilinear import RIDGE, DesignMatrix, solve_bilinear
from dsasim.train.closed_form import FitSequence, extra_columns, fit_layer, ternary_projection
from dsasim.train.positions import position_columns, rotary_frequencies


def positions(allowed: np.ndarray) -> Positions:
    """A stored mask of any form."""
    return Positions(*allowed.shape, causal=False, packed=pack_bits(allowed))


def random_design(allowed: np.ndarray, columns: int, num_sequences: int, stride: int = 1) -> DesignMatrix:
    rng = np.random.default_rng(0)
    sides = [
        [rng.normal(size=(length, columns)).astype(np.float32) for _ in range(num_sequences)]
        for length in allowed.shape
    ]
    return DesignMatrix(sides[0], sides[1], [positions(allowed)] * num_sequences, stride)


def direct_solution(design: DesignMatrix, scores: list[np.ndarray]) -> np.ndarray:
    """M from the whole K^2 x K^2 system, built row by row of every sequence."""
    columns = design.z_q[0].shape[1]
    system, right = np.zeros((columns**2, columns**2)), np.zeros(columns**2)
    for z_q, z_k, where, s in zip(design.z_q, design.z_k, design.positions, scores, strict=True):
        for i, keys in enumerate(where.allowed(0, *s.shape)):
            if i % design.stride or not keys.any():
                continue
            about = z_k[keys].astype(float) - z_k[keys].mean(axis=0, dtype=float)
            features = np.einsum("a,jb->jab", z_q[i].astype(float), about).reshape(len(about), -1)
            system += features.T @ features
            right += features.T @ (s[i, keys] - s[i, keys].mean())
    count = design.num_positions
    return np.linalg.solve(system / count + RIDGE * np.eye(len(right)), right / count).reshape(columns, columns)


def test_sequences_of_several_lengths_are_one_system() -> None:
    """Every row counts alike: of 14, 9 and 3 (the last of 8 keys)."""
    rng = np.random.default_rng(0)
    masks = [np.tri(14, dtype=np.bool_), np.ones((9, 9), np.bool_), np.tri(3, 8, 5, dtype=np.bool_)]
    z_q, z_k = ([rng.normal(size=(mask.shape[side], 5)).astype(np.float32) for mask in masks] for side in (0, 1))
    design = DesignMatrix(z_q, z_k, [positions(mask) for mask in masks])
    scores = [rng.normal(size=mask.shape).astype(np.float32) for mask in masks]
    found = solve_bilinear(design, lambda s, rows, n: scores[s][rows, :n].copy())
    assert design.num_positions == 105 + 81 + 21
    assert np.allclose(found, direct_solution(design, scores), atol=1e-3 * np.abs(found).max())


@pytest.mark.parametrize("rows_a_block", [100, 4, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("causal", [False, True])
def test_conjugate_gradients_find_the_direct_solution(
    causal: bool, stride: int, rows_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsasim.trace.positions.BLOCK_POSITIONS", 14 * rows_a_block)
    monkeypatch.setattr(bilinear, "RELATIVE_RESIDUAL", 1e-6)
    allowed = np.tri(14, dtype=np.bool_) if causal else np.ones((14, 14), np.bool_)
    allowed[3] = False
    design = random_design(allowed, columns=5, num_sequences=3, stride=stride)
    scores = [np.random.default_rng(s).normal(size=(14, 14)).astype(np.float32) for s in range(3)]
    found = solve_bilinear(design, lambda s, rows, n: scores[s][rows, :n].copy())
    assert np.allclose(found, direct_solution(design, scores), atol=1e-4 * np.abs(found).max())


def test_a_constant_added_to_a_row_of_scores_changes_nothing() -> None:
    design = random_design(np.tri(14, dtype=np.bool_), columns=5, num_sequences=1)
    scores = np.random.default_rng(1).normal(size=(14, 14)).astype(np.float32)
    plain = solve_bilinear(design, lambda _, rows, n: scores[rows, :n].copy())
    higher = scores + np.arange(14, dtype=np.float32)[:, None]
    lifted = solve_bilinear(design, lambda _, rows, n: higher[rows, :n].copy())
    assert np.allclose(plain, lifted, atol=1e-3 * np.abs(plain).max())


EVERY = Positions(40, 40, causal=False, packed=None)


def low_rank_sequences(count: int, L: int = 40, kv_heads: int = 2) -> list[FitSequence]:
    """Four heads whose Q and K are linear in X, two columns each; X [L, 16] has rank four."""
    rng = np.random.default_rng(5)
    w_q, w_k = rng.normal(size=(4, 16, 2)), rng.normal(size=(kv_heads, 16, 2))
    inputs = (rng.normal(size=(count, L, 4)) @ rng.normal(size=(4, 16))).astype(np.float32)
    return [FitSequence(x, (x @ w_q).astype(np.float32), (x @ w_k).astype(np.float32)) for x in inputs]


def row_centred(scores: np.ndarray) -> np.ndarray:
    return scores - scores.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_scores_of_a_low_rank_layer_are_recovered(kv_heads: int) -> None:
    sequences = low_rank_sequences(6, kv_heads=kv_heads)
    fitted = fit_layer(sequences[:5], EVERY, Decimal(1), fitted_on="random", rank=4)
    assert fitted.w_q.shape == (4, 17, 4)
    assert fitted.w_k.shape == (kv_heads, 17, 4)
    unseen, factor = sequences[5], np.sqrt(3 / 16)
    xp = unseen.x_q @ fitted.projection * factor
    z_q, z_k = np.hstack([xp, fitted.extra_q]), np.hstack([xp, fitted.extra_k])
    for head in range(4):
        kv_head = head // (4 // kv_heads)
        exact = row_centred(unseen.q[head] @ unseen.k[kv_head].T)
        predicted = row_centred((z_q @ fitted.w_q[head]) @ (z_k @ fitted.w_k[kv_head]).T)
        assert np.corrcoef(exact.ravel(), predicted.ravel())[0, 1] > 0.98


def test_fewer_columns_are_the_first_of_more() -> None:
    sequences, allowed = low_rank_sequences(4), EVERY
    four, two = (fit_layer(sequences, allowed, Decimal(1), fitted_on="random", rank=rank) for rank in (4, 2))
    assert np.array_equal(four.w_q[:, :, :2], two.w_q)
    assert np.array_equal(four.w_k[:, :, :2], two.w_k)


def test_the_same_seed_gives_the_same_weights() -> None:
    sequences, allowed = low_rank_sequences(2), Positions(40, 40, causal=True, packed=None)
    first, again = (fit_layer(sequences, allowed, Decimal("0.5"), fitted_on="random") for _ in range(2))
    other = fit_layer(sequences, allowed, Decimal("0.5"), fitted_on="random", seed=1)
    assert np.array_equal(first.w_q, again.w_q)
    assert np.array_equal(first.projection, again.projection)
    assert not np.array_equal(first.projection, other.projection)
    assert (first.k, first.rank, first.position_columns) == (8, 2, 0)


def test_position_columns_let_a_layer_prefer_near_keys() -> None:
    rng = np.random.default_rng(0)
    position = np.arange(48)
    angles = position[:, None] * rotary_frequencies(100.0, 8, 48)
    turning = np.hstack([np.sin(angles), np.cos(angles)])[None].astype(np.float32)
    sequences = [FitSequence(rng.normal(size=(48, 24)).astype(np.float32), turning, turning) for _ in range(3)]
    allowed = Positions(48, 48, causal=True, packed=None)

    def correlation(rotary_base: float | None) -> float:
        fitted = fit_layer(sequences, allowed, Decimal("0.5"), fitted_on="random", rotary_base=rotary_base)
        xp = sequences[0].x_q @ fitted.projection * np.sqrt(3 / 12)
        z_q, z_k = np.hstack([xp, fitted.extra_q]), np.hstack([xp, fitted.extra_k])
        predicted = (z_q @ fitted.w_q[0]) @ (z_k @ fitted.w_k[0]).T
        return float(np.corrcoef((turning[0] @ turning[0].T)[40, :41], predicted[40, :41])[0, 1])

    assert correlation(100.0) > 0.9
    assert correlation(None) < 0.7


def test_frequencies_worked_example() -> None:
    assert len(rotary_frequencies(1e5, 64, 512)) == 17
    assert rotary_frequencies(1e5, 64, 512)[0] == 1.0


def test_position_columns_are_sines_then_cosines() -> None:
    columns = position_columns(np.array([0, 1]), np.array([np.pi / 2]))
    assert columns == pytest.approx(np.array([[0, 1], [1, 0]]), abs=1e-6)


def test_queries_stand_at_the_last_positions_and_hold_the_constant() -> None:
    on_queries, on_keys = extra_columns((3, 10), 0.5, 100.0, 8)
    assert np.array_equal(on_queries[:, :-1], on_keys[7:, :-1])
    assert on_queries[:, -1].tolist() == [1.0, 1.0, 1.0]
    assert not on_keys[:, -1].any()
    with pytest.raises(TraceError, match="10 queries cannot be the last of 3 positions"):
        extra_columns((10, 3), 0.5, 100.0, 8)


def test_the_projection_is_ternary_with_a_third_nonzero() -> None:
    projection = ternary_projection(600, 200, seed=0)
    assert set(np.unique(projection)) == {-1, 0, 1}
    assert np.mean(projection == 1) == pytest.approx(1 / 6, abs=0.005)
    assert np.mean(projection == -1) == pytest.approx(1 / 6, abs=0.005)


def test_sequences_of_another_length_are_named() -> None:
    with pytest.raises(TraceError, match=r"fit sequence 0: .*\(40, 40, 40, 40\).*expected \(30, 30, 30, 30\)"):
        fit_layer(
            low_rank_sequences(1), Positions(30, 30, causal=False, packed=None), Decimal("0.5"), fitted_on="random"
        )
