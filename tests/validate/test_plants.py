"""Masks and implementations that are wrong in ways that no run of dsasim is: each is named, none passes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dsasim.errors import TraceError
from dsasim.masks import KeepMask
from dsasim.trace import positions
from dsasim.trace.attention import AttentionTrace, LayerTrace
from dsasim.trace.store import trace_in_memory
from dsasim.validate import sparse_output
from dsasim.validate.check import Check
from dsasim.validate.keep_mask import check_keep_mask
from dsasim.validate.mask_quality import check_mask_quality
from dsasim.validate.operands import check_operands
from dsasim.validate.sparse_output import check_sparse_output
from dsasim.validate.subject import Subject

L = 24


def csr(rows: list[list[int]]) -> KeepMask:
    """A mask of these keys in this order, whatever they are."""
    counts = np.cumsum([0] + [len(row) for row in rows])
    return KeepMask(counts.astype(np.int64), np.array([key for row in rows for key in row], np.int32), L)


def keys_of(keep: KeepMask) -> list[list[int]]:
    return [part.tolist() for part in np.split(keep.indices, keep.indptr[1:-1])]


@pytest.fixture
def mask_check(
    make_arch: Callable[..., Any], make_arrays: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Check]:
    """The check of head 1's masks after `change(rows of keys)`, of an oracle at density 0.3 or as overrides say."""

    def check(change: Callable[[list[list[int]]], None], *overrides: str) -> Check:
        trace = trace_in_memory("small", [make_arrays()], dtype="float32")
        subject, sound = Subject(make_arch("predictor.method=oracle_topk", *overrides), trace, {5: (1,)}), Subject.keep
        rows = keys_of(sound(subject, trace.layer(5), 1))
        change(rows)
        monkeypatch.setattr(Subject, "keep", lambda *_: csr(rows))
        (found,) = check_keep_mask(subject)
        return found

    return check


def put(row: int, at: int, key: int) -> Callable[[list[list[int]]], None]:
    """Write one key of a row."""

    def change(rows: list[list[int]]) -> None:
        rows[row][at] = key

    return change


def test_a_sound_mask_passes(mask_check: Callable[..., Check]) -> None:
    found = mask_check(lambda rows: None)
    assert (found.status, found.figures) == ("passed", {"rows": L, "different": 0})


@pytest.mark.parametrize("key", [L, L + 7, 10**6])
def test_a_key_that_does_not_exist_is_found(key: int, mask_check: Callable[..., Check]) -> None:
    found = mask_check(put(23, -1, key))
    assert (found.status, found.detail) == (
        "failed",
        f"layer 5 head 1 row 23: key {key} is not one of {L}; 1 of {L} rows differ",
    )


def test_a_negative_key_is_found(mask_check: Callable[..., Check]) -> None:
    assert "row 20: key -1 is not one of 24" in mask_check(put(20, 0, -1)).detail


def test_a_key_twice_is_found(mask_check: Callable[..., Check]) -> None:
    def twice(rows: list[list[int]]) -> None:
        rows[19][1] = rows[19][0]

    found = mask_check(twice)
    assert found.status == "failed"
    assert "layer 5 head 1 row 19: key" in found.detail
    assert "follows key" in found.detail


def test_a_forbidden_key_is_found_in_every_block_of_rows(
    mask_check: Callable[..., Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 10 of a causal layer sees keys up to 10; rows are looked at 5 at a time."""
    monkeypatch.setattr(positions, "BLOCK_POSITIONS", 5 * L)
    found = mask_check(put(10, -1, 11))
    assert found.detail.startswith("layer 5 head 1 row 10: keeps key 11, which may not be attended to; 1 of 24")


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_a_number_of_keys_that_the_density_does_not_ask_for_is_found(
    change: str, mask_check: Callable[..., Check]
) -> None:
    """Of 21 allowed keys 0.3 are ceil(6.3) = 7."""

    def alter(rows: list[list[int]]) -> None:
        absent = next(key for key in range(21) if key not in rows[20])
        rows[20] = rows[20][:-1] if change == "fewer" else sorted([*rows[20], absent])

    found = mask_check(alter)
    assert f"row 20: keeps {6 if change == 'fewer' else 8} keys, the density asks for 7" in found.detail


@pytest.mark.parametrize("change", ["drops", "keeps"])
def test_both_sides_of_a_threshold_are_checked(change: str, mask_check: Callable[..., Check]) -> None:
    def alter(rows: list[list[int]]) -> None:
        absent = next(key for key in range(24) if key not in rows[23])
        rows[23] = rows[23][1:] if change == "drops" else sorted([*rows[23], absent])

    threshold = ("mask_generator.selection=threshold", "mask_generator.threshold=0.05")
    found = mask_check(alter, "predictor.method=oracle_threshold", *threshold)
    assert found.status == "failed"
    assert f"row 23: {change} key" in found.detail


@pytest.fixture
def two_heads(make_arch: Callable[..., Any], make_arrays: Callable[..., Any]) -> Subject:
    """An oracle on two heads."""
    trace: AttentionTrace = trace_in_memory("small", [make_arrays()], dtype="float32")
    return Subject(make_arch("predictor.method=oracle_topk"), trace, {5: (0, 1)})


def test_an_implementation_that_refuses_the_second_head_was_not_compared(
    two_heads: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = sparse_output.masked_sdpa

    def refusing(problem: Any) -> Any:
        if problem.head == 1:
            raise RuntimeError("no kernel for this mask\nand a trace")
        return sound(problem)

    monkeypatch.setattr(sparse_output, "masked_sdpa", refusing)
    found = {check.name: check for check in check_sparse_output(two_heads)}
    sdpa = found["sparse_output_sdpa_fp32"]
    assert (sdpa.status, sdpa.detail, sdpa.figures) == ("skipped", "PyTorch refuses: no kernel for this mask", {})
    assert found["sparse_output_csr_fp32"].status == "passed"


@pytest.mark.parametrize("factor", [1.0, 1 + 1e-4])
def test_float32_has_the_gate_of_float32(factor: float, two_heads: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """An implementation off by a ten-thousandth would pass at 16 bits, not at 32; so would dsasim's own output."""
    sound = sparse_output.masked_sdpa
    monkeypatch.setattr(sparse_output, "masked_sdpa", lambda problem: sound(problem) * factor)
    found = {check.name: check for check in check_sparse_output(two_heads)}
    check = found["sparse_output_sdpa_fp32"]
    assert (check.status, check.gate) == ("passed" if factor == 1 else "failed", 1e-5)
    assert check.figures["rel_l2_from_float64"] == pytest.approx(factor - 1, abs=1e-6)
    assert found["sparse_output_dsasim"].status == "passed"


def test_dsasim_s_own_output_is_what_others_are_compared_with(
    two_heads: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = sparse_output.sparse_attention
    monkeypatch.setattr(sparse_output, "sparse_attention", lambda *given: sound(*given) * np.float32(1.0001))
    found = {check.name: check.status for check in check_sparse_output(two_heads)}
    assert {name for name, status in found.items() if status == "failed"} == {
        "sparse_output_dsasim",
        "sparse_output_sdpa_fp32",
        "sparse_output_csr_fp32",
    }


def test_quality_figures_may_be_off_by_a_hundred_thousandth(
    two_heads: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim.quality import measure

    sound = measure.masked_softmax
    for factor, status in ((1 + 1e-7, "passed"), (1 + 1e-4, "failed")):
        monkeypatch.setattr(measure, "masked_softmax", lambda *given, by=factor: sound(*given) * np.float32(by))
        assert check_mask_quality(two_heads)[1].status == status


@pytest.mark.parametrize("operand", ["q", "k", "v", "x_q", "x_kv", "bias", "sampled_outputs"])
def test_every_operand_is_read_before_anything_is_computed(
    operand: str, two_heads: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: Any) -> Any:
        raise TraceError(f"layer.5.{operand} is NaN or Inf")

    assert check_operands(two_heads)[0].status == "passed"
    monkeypatch.setattr(LayerTrace, operand, damaged)
    (check,) = check_operands(two_heads)
    assert (check.status, check.detail) == ("failed", f"layer.5.{operand} is NaN or Inf")
