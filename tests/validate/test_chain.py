"""Every step against PyTorch on small traces of every shape: all pass as they are, and each plant fails by name."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.report.validation import title
from dsasim.report.validation_page import validation_page
from dsasim.trace.arrays import LayerArrays, MaskArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import trace_in_memory
from dsasim.validate.check import Check
from dsasim.validate.run import validate

ALWAYS = ("operands", "model_output", "keep_mask", "sparse_output_dsasim", "sparse_output_sdpa_fp32")
PREDICTED = ("predictor_weights", "predictor_scores")


def in_memory(*layers: Any, dtype: str = "float32") -> AttentionTrace:
    return trace_in_memory("small", layers, dtype=dtype)


def checks(arch: ArchConfig, trace: AttentionTrace, **options: Any) -> dict[str, Check]:
    return {check.name: check for check in validate(arch, trace, device="cpu", **options).checks}


def failed(found: dict[str, Check]) -> dict[str, str]:
    return {name: check.detail for name, check in found.items() if check.status == "failed"}


SHAPES: dict[str, dict[str, Any]] = {
    "one kv head a head": {"kv_heads": 4},
    "grouped kv heads": {"kv_heads": 2},
    "one kv head": {"kv_heads": 1},
    "bidirectional": {"causal": False},
    "padded keys": {"causal": False, "allowed": np.broadcast_to(np.arange(24) < 17, (24, 24))},
    "a row that sees nothing": {"causal": False, "allowed": np.arange(24)[:, None] * np.ones(24, int) != 3},
    "causal and padded": {"allowed": np.broadcast_to(np.arange(24) >= 2, (24, 24))},
    "bias a head": {"bias": np.random.default_rng(2).normal(size=(4, 24, 24)).astype(np.float32)},
    "bias for all": {"bias": np.random.default_rng(2).normal(size=(1, 24, 24)).astype(np.float32)},
    "cross": {"L_q": 9, "L_k": 31, "causal": False},
    "decode": {"L_q": 1, "L_k": 31, "causal": False},
    "after a prefix": {"L_q": 5, "L_k": 24},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_shape_passes(shape: dict, make_arch: Callable, make_arrays: Callable[..., LayerArrays]) -> None:
    trace = in_memory(make_arrays(**shape))
    for overrides in (
        ("predictor.method=oracle_topk",),
        ("predictor.method=oracle_threshold", "mask_generator.selection=threshold", "mask_generator.threshold=0.2"),
    ):
        found = checks(make_arch(*overrides), trace)
        assert failed(found) == {}
        assert {name: found[name].status for name in ALWAYS} == dict.fromkeys(ALWAYS, "passed")
        assert found["predictor_scores"].status == "skipped"


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(
    "rule", [(), ("mask_generator.selection=threshold", "mask_generator.threshold=0.1"), ("predictor.rank=2",)]
)
def test_the_predicted_path_passes_bit_for_bit(
    bits: int, rule: tuple, make_arch: Callable, make_arrays: Callable[..., LayerArrays]
) -> None:
    found = checks(make_arch(f"predictor.bits={bits}", *rule), in_memory(make_arrays(fitted=True)))
    assert failed(found) == {}
    assert {found[name].status for name in (*ALWAYS, *PREDICTED)} == {"passed"}
    assert found["predictor_scores"].figures == {"scores": 4 * 24 * 24, "different": 0}


def test_a_16_bit_store_has_the_wider_gate(make_arch: Callable, make_arrays: Callable) -> None:
    arrays = make_arrays()
    for dtype, gate in (("float32", 1e-5), ("float16", 1e-2)):
        check = checks(make_arch("predictor.method=oracle_topk"), in_memory(arrays, dtype=dtype))["model_output"]
        assert (check.status, check.gate) == ("passed", gate)


def test_without_outputs_the_first_step_is_skipped(make_arch: Callable, make_arrays: Callable) -> None:
    trace = in_memory(replace(make_arrays(), out=None, out_rows=None))
    check = checks(make_arch("predictor.method=oracle_topk"), trace)["model_output"]
    assert (check.status, "no reference output in the trace" in check.detail) == ("skipped", True)


def test_a_trace_of_masks_is_checked_where_it_can_be(make_arch: Callable) -> None:
    keep = np.random.default_rng(0).random((2, 12, 19)) < 0.4
    trace = trace_in_memory("masks", [MaskArrays(0, pack_bits(keep), 19, 8, 2, causal=False)], kind="mask")
    found = checks(make_arch(), trace)
    assert found["keep_mask"].status == "passed"
    assert failed(found) == {}
    others = {check.status for name, check in found.items() if name not in ("operands", "keep_mask")}
    assert others == {"skipped"}
    assert all(check.detail for check in found.values() if check.status == "skipped")


def test_a_changed_key_is_not_what_the_model_computed(make_arch: Callable, make_arrays: Callable) -> None:
    arrays = make_arrays(fitted=True)
    arrays.k[1, 0, 3] += 1.0
    found = checks(make_arch(), in_memory(arrays))
    assert list(failed(found)) == ["model_output"]
    assert failed(found)["model_output"].startswith(("layer 5 head 2 row ", "layer 5 head 3 row "))


@pytest.mark.parametrize("side", ["q", "k"])
def test_a_changed_weight_does_not_fit_its_scale(side: str, make_arch: Callable, make_arrays: Callable) -> None:
    arrays = make_arrays(fitted=True)
    weights = getattr(arrays.predictors[0], f"w_{side}")
    weights[1, 4, 2] += 100 * weights[1, :, 2].std()
    found = checks(make_arch(), in_memory(arrays))
    assert list(failed(found)) == ["predictor_weights"]
    assert f"head 1 W~{side} column 2 at" in failed(found)["predictor_weights"]


def test_a_weight_read_wrongly_gives_other_scores(
    make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim.methods import dsa2021

    sound = dsa2021.head_accumulators

    def corrupted(z: Any, weights: Any, scale: Any, bits: int) -> Any:
        changed = weights.copy()
        changed[0, 0] += 3 * scale[0]
        return sound(z, changed, scale, bits)

    monkeypatch.setattr(dsa2021, "head_accumulators", corrupted)
    detail = failed(checks(make_arch(), in_memory(make_arrays(fitted=True))))["predictor_scores"]
    assert detail.startswith("layer 5 head 0 row ")
    assert ", PyTorch has " in detail


@pytest.mark.parametrize("method", ["dsa2021", "oracle_topk"])
def test_a_wrong_bit_of_a_mask_is_found(
    method: str, make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim.selectors import top_k

    sound = top_k.top_k_rows

    def corrupted(scores: Any, allowed: Any, counts: Any, comparators: int) -> Any:
        indptr, indices, cycles, compared = sound(scores, allowed, counts, comparators)
        row = 20
        kept = indices[indptr[row] : indptr[row + 1]]
        worst = min(set(range(row + 1)) - set(kept.tolist()), key=lambda key: scores[row, key])
        kept[0] = worst
        kept.sort()
        return indptr, indices, cycles, compared

    monkeypatch.setattr(top_k, "top_k_rows", corrupted)
    found = failed(checks(make_arch(f"predictor.method={method}"), in_memory(make_arrays(fitted=True))))
    assert found["keep_mask"].startswith("layer 5 head 0 row 20: its kept score number ")
    assert "4 of 96 rows differ" in found["keep_mask"]


def test_a_wrong_bit_of_a_given_mask_is_found(make_arch: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsasim.methods import given

    sound = given.set_keys

    def corrupted(packed: Any) -> Any:
        changed = packed.copy()
        changed[7, 1] ^= 0b00100000
        return sound(changed)

    monkeypatch.setattr(given, "set_keys", corrupted)
    keep = np.ones((1, 12, 19), dtype=bool)
    trace = trace_in_memory("masks", [MaskArrays(0, pack_bits(keep), 19, 8, 1, causal=False)], kind="mask")
    assert failed(checks(make_arch(), trace)) == {
        "keep_mask": "layer 0 head 0 row 7: drops key 10; 1 of 12 rows differ"
    }


def test_a_key_that_may_not_be_attended_to_is_found(
    make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim.selectors import top_k

    sound = top_k.top_k_rows

    def corrupted(scores: Any, allowed: Any, counts: Any, comparators: int) -> Any:
        found = sound(scores, allowed, counts, comparators)
        found[1][0] = 9  # row 0 of a causal layer sees key 0 alone
        return found

    monkeypatch.setattr(top_k, "top_k_rows", corrupted)
    found = failed(checks(make_arch(), in_memory(make_arrays(fitted=True))))
    assert "layer 5 head 0 row 0: keeps key 9, which may not be attended to" in found["keep_mask"]


@pytest.mark.parametrize(("value", "words"), [(np.nan, "NaN or Inf"), (3.0, "rel. L2")])
def test_a_wrong_output_of_dsasim_is_found(
    value: float, words: str, make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim.validate import sparse_output

    sound = sparse_output.weighted_values

    def corrupted(*operands: Any) -> Any:
        output = sound(*operands)
        output[11, 2] = value
        return output

    monkeypatch.setattr(sparse_output, "weighted_values", corrupted)
    found = failed(checks(make_arch(), in_memory(make_arrays(fitted=True)), heads=[2]))
    assert set(found) == {"sparse_output_dsasim", "sparse_output_sdpa_fp32", "sparse_output_csr_fp32"}
    assert all(detail.startswith("layer 5 head 2 row 11: ") and words in detail for detail in found.values())


def test_a_quality_figure_that_is_off_is_found(
    make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim.quality import measure

    sound = measure.masked_softmax
    monkeypatch.setattr(measure, "masked_softmax", lambda *operands: sound(*operands) * np.float32(0.999))
    found = failed(checks(make_arch(), in_memory(make_arrays(fitted=True))))
    assert list(found) == ["quality_figures"]
    assert "captured mass" in found["quality_figures"]


def test_without_a_compiler_flex_attention_is_skipped_never_passed(make_arch: Callable, make_arrays: Callable) -> None:
    check = checks(make_arch("predictor.method=oracle_topk"), in_memory(make_arrays()))["sparse_output_flex_fp32"]
    assert (check.status, "no C++ compiler" in check.detail) == ("skipped", True)


def test_flex_attention_that_does_not_compile_is_skipped(
    make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no such kernel\nat length")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: refuses)
    monkeypatch.setenv("CXX", "true")
    check = checks(make_arch("predictor.method=oracle_topk"), in_memory(make_arrays()))["sparse_output_flex_fp32"]
    assert (check.status, check.detail) == ("skipped", "PyTorch refuses: no such kernel")


@pytest.mark.filterwarnings("default")
def test_compiled_flex_attention_agrees(
    make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    found = checks(make_arch(), in_memory(make_arrays(fitted=True, L_q=32, L_k=32)))
    assert found["sparse_output_flex_fp32"].status == "passed"


def test_a_kernel_that_pytorch_compiles_wrongly_says_nothing_of_the_trace(
    make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim.validate.gpu import block_sparse

    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr(block_sparse, "compiled_flex_attention", lambda: lambda q, _k, v, **_: v + q.mean())
    check = checks(make_arch("predictor.method=oracle_topk"), in_memory(make_arrays()))["sparse_output_flex_fp32"]
    assert check.status == "skipped"
    assert check.detail.startswith("PyTorch refuses: its kernel for 24 x 24 of d_head 8 is off SDPA's by ")


def test_masks_of_a_method_without_a_rule_here_are_skipped(
    make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim import registry

    class Later(registry.find("methods", "oracle_topk")):
        exact = False

    found = registry.find
    monkeypatch.setattr(registry, "find", lambda kind, name: Later if name == "later" else found(kind, name))
    arch = make_arch("predictor.method=oracle_topk")
    arch = arch.model_copy(update={"predictor": arch.predictor.model_copy(update={"method": "later"})})
    check = checks(arch, in_memory(make_arrays()))["keep_mask"]
    assert (check.status, "predictor.method later" in check.detail) == ("skipped", True)


def test_no_gpu_is_said(make_arch: Callable, make_arrays: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="finds no CUDA device"):
        validate(make_arch(), in_memory(make_arrays()), device="cuda")


def test_a_batch_passes_and_each_sequence_has_its_rows(
    make_arch: Callable, make_arrays: Callable[..., LayerArrays]
) -> None:
    """Of different lengths; the JSON and the tables say which sequence a row is of."""
    first, second = make_arrays(seed=1), make_arrays(seed=2, L_q=5, L_k=31)
    trace = in_memory(first, replace(second, sequence=1))
    result = validate(make_arch("predictor.method=oracle_topk"), trace, device="cpu", heads=[1, 2])
    assert not result.failures
    rows = result.to_json()["layers"]
    assert [(row["layer"], row["sequence"], row["heads"], row["L_q"], row["L_k"]) for row in rows] == [
        (5, 0, [1, 2], 24, 24),
        (5, 1, [1, 2], 5, 31),
    ]
    (output,) = [check for check in result.checks if check.name == "model_output"]
    assert [row[:2] for row in output.tables[0].rows] == [
        ("5 sequence 0", 1), ("5 sequence 0", 2), ("5 sequence 1", 1), ("5 sequence 1", 2),
    ]  # fmt: skip
    assert "layers 5; 2 sequences; 4 heads" in title(result)
    assert "layer 5 sequence 1" in validation_page(result)


def test_a_plant_in_the_second_sequence_is_found_there(
    make_arch: Callable, make_arrays: Callable[..., LayerArrays]
) -> None:
    first, second = make_arrays(seed=1), make_arrays(seed=2)
    spoilt = np.array(second.v)
    spoilt[0] *= 3
    trace = in_memory(first, replace(second, v=spoilt, sequence=1))
    assert "layer 5 sequence 1 head" in failed(checks(make_arch("predictor.method=oracle_topk"), trace))["model_output"]
