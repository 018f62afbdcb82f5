"""Traces of several sequences: what is stored, what is read back in which order, and what is refused."""

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from dsasim.errors import TraceError
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.digest import content_digest
from dsasim.trace.info import trace_info
from dsasim.trace.layout import assemble
from dsasim.trace.masks import import_mask
from dsasim.trace.packing import unpack_bits
from dsasim.trace.schema import check_metadata
from dsasim.trace.store import open_trace, trace_in_memory
from dsasim.trace.synthetic import PATTERNS, Synthetic, write_synthetic
from dsasim.trace.tensors import MappedTensors, MemoryTensors


@pytest.fixture
def batch(make_layer):
    """Layers 3 and 5 on sequences of 10, 4 (the last of 7 keys) and 12 tokens."""
    shapes = ({}, {"L_q": 4, "L_k": 7}, {"L_q": 12, "L_k": 12})
    return [
        make_layer(number=number, seed=10 * number + at, sequence=at, **shape)
        for number in (3, 5)
        for at, shape in enumerate(shapes)
    ]


def metadata_of(path):
    return json.loads(MappedTensors(path).metadata["dsasim"])


def test_every_sequence_comes_back_with_its_own_tensors(batch, write):
    trace = open_trace(write(*batch))
    assert (trace.layer_numbers, trace.num_sequences) == ((3, 5), 3)
    for arrays in batch:
        layer = trace.layer(arrays.number, arrays.sequence)
        assert layer.key == (layer.number, layer.sequence) == (arrays.number, arrays.sequence)
        assert (layer.num_heads, layer.L_q, layer.L_k) == (4, arrays.q.shape[1], arrays.k.shape[1])
        assert np.array_equal(layer.q(2), arrays.q[2].astype(np.float16))
        assert np.array_equal(layer.v(1), arrays.v[1].astype(np.float16))
    assert [layer.label for layer in trace.batch(5)] == ["5 sequence 0", "5 sequence 1", "5 sequence 2"]


def test_layers_come_in_the_order_of_a_batched_forward_pass_however_they_are_listed(batch, write):
    keys = [(3, 0), (3, 1), (3, 2), (5, 0), (5, 1), (5, 2)]
    for order in (batch, batch[::2] + batch[1::2]):
        trace = open_trace(write(*order))
        assert [layer.key for layer in trace] == list(trace.layers) == keys
    chosen = trace.chosen({5: (0,), 3: (1, 2)})
    assert [(layer.key, heads) for layer, heads in chosen] == [
        ((3, 0), (1, 2)), ((3, 1), (1, 2)), ((3, 2), (1, 2)), ((5, 0), (0,)), ((5, 1), (0,)), ((5, 2), (0,)),
    ]  # fmt: skip


def test_the_first_sequence_is_stored_as_if_it_were_alone(batch, write, make_layer):
    """Names without a sequence, entries without the key; the version says that there are more."""
    single, several = write(batch[0], batch[3], name="one"), write(*batch)
    one, all_ = metadata_of(single), metadata_of(several)
    assert (one["format_version"], all_["format_version"]) == (1, 2)
    assert one["layers"] == [entry for entry in all_["layers"] if "sequence" not in entry]
    assert [entry.get("sequence") for entry in all_["layers"]] == [None, 1, 2, None, 1, 2]
    tensors = MappedTensors(several)
    assert {name for name in tensors if name.startswith("layer.")} == set(MappedTensors(single))
    assert {name for name in tensors if name.startswith("sequence.1.layer.5.")} == {
        f"sequence.1.layer.5.{name}" for name in ("q", "k", "v", "x_q", "x_kv")
    }
    assert open_trace(single).layer(3).label == "3"
    assert write(make_layer(sequence=0)).read_bytes() == write(make_layer()).read_bytes()


def test_weights_of_a_layer_are_stored_once(make_layer, make_fit, write):
    fit = make_fit(d_model=40)
    layers = [make_layer(d_model=40, sequence=sequence, predictors=(fit,)) for sequence in (0, 1)]
    fit = replace(fit, w_q=np.repeat(fit.w_q, 40, axis=2), w_k=np.repeat(fit.w_k, 40, axis=2), scales={})
    path = write(*(replace(layer, predictors=(fit,)) for layer in layers))
    entries = [entry["predictors"]["0.25"]["tensors"] for entry in metadata_of(path)["layers"]]
    assert entries[1]["w_q"] == entries[0]["w_q"] == "layer.3.sigma.0.25.w_q"
    found = [open_trace(path).layer(3, sequence).predictor(Decimal("0.25")) for sequence in (0, 1)]
    assert np.array_equal(found[0].w_q, found[1].w_q)


def test_what_is_not_there_is_named(batch, write):
    trace = open_trace(write(*batch))
    with pytest.raises(TraceError, match=r"^small: no sequence 3; it holds sequences 0, 1, 2$"):
        trace.layer(3, 3)
    with pytest.raises(TraceError, match=r"^small: no layer 4; it holds layers 3, 5$"):
        trace.layer(4, 1)
    with pytest.raises(TraceError, match=r"^small: no layer 4; it holds layers 3, 5$"):
        trace.batch(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=1), "several sequences, in a file of format_version 1"),
        (lambda m: m["layers"].pop(4), "layer 5 sequence 1 is missing: each sequence from 0 has all layers"),
        (lambda m: m["layers"].pop(3), "layer 5 is missing: each sequence from 0 has all layers"),
        (
            lambda m: [entry.update(sequence=9) for entry in m["layers"] if entry.get("sequence") == 2],
            "layer 3 sequence 2 is missing: each sequence from 0 has all layers",
        ),
        (lambda m: m["layers"][1].update(sequence=2), "layer 3 sequence 2 stands twice"),
        (lambda m: m["layers"][1].update(num_heads=2), "layer 3 differs in num_heads from sequence to sequence"),
        (lambda m: m["layers"][1].update(d_model=13), "layer 3 differs in d_model from sequence to sequence"),
        (lambda m: m["layers"][4].update(d_ff=9), "layer 5 differs in d_ff from sequence to sequence"),
        (
            lambda m: m["layers"][1].update(sequence=-1),
            "layers.1.sequence: Input should be greater than or equal to 0",
        ),
    ],
)
def test_sequences_that_contradict_each_other(change, message, batch, write):
    metadata = metadata_of(write(*batch))
    change(metadata)
    with pytest.raises(TraceError) as refused:
        check_metadata("f", metadata)
    assert str(refused.value) == f"f: metadata: {message}"


def test_a_tensor_of_one_sequence_that_is_missing_or_of_another_shape_is_named(batch, write):
    stored = MappedTensors(write(*batch))
    tensors, metadata = {name: stored.raw(name) for name in stored}, metadata_of(stored.path)
    for name, array, message in (
        ("sequence.1.layer.3.k", tensors["layer.3.k"], "sequence.1.layer.3.k has shape [2, 10, 8]; expected [2, 7, 8]"),
        ("sequence.3.layer.3.k", tensors["layer.3.k"], "tensor sequence.3.layer.3.k is not described by the metadata"),
    ):
        changed = MemoryTensors("f", tensors | {name: array})
        metadata["sha256"] = content_digest(metadata, changed)
        with pytest.raises(TraceError) as refused:
            assemble("f", check_metadata("f", metadata), changed)
        assert str(refused.value) == f"f: {message}"


def test_what_one_sequence_brings_is_its_own(make_layer):
    """A mask, and an error about it."""
    first, second = np.ones((10, 10), bool), np.ones((10, 10), bool)
    second[:, 3] = False
    keep = np.ones((4, 10, 10), bool)
    layers = [
        make_layer(sequence=sequence, allowed=allowed, keep=keep) for sequence, allowed in enumerate((first, second))
    ]
    trace = trace_in_memory("two", layers)
    assert trace.layer(3, 0).given_bits(0) is not None
    with pytest.raises(TraceError, match=r"^two: layer 3 sequence 1 head 2: the keep mask keeps 10 positions"):
        trace.layer(3, 1).given_bits(2)


def test_info_of_a_batch_has_a_row_for_each_sequence(batch, write):
    info = trace_info(open_trace(write(*batch)))
    assert [(layer.label, layer.L_q, layer.L_k) for layer in info.layers[:3]] == [
        ("3 sequence 0", 10, 10),
        ("3 sequence 1", 4, 7),
        ("3 sequence 2", 12, 12),
    ]
    assert len(info.layers) == 6
    assert info.natural_density[0.95] == pytest.approx(np.mean([layer.natural_density[0.95] for layer in info.layers]))


def test_all_samples_of_a_batch_of_masks_are_imported(tmp_path):
    batch = np.random.default_rng(0).random((3, 2, 2, 5, 9)) < 0.4
    np.save(tmp_path / "m.npy", batch)
    import_mask(tmp_path / "m.npy", 8, tmp_path / "m.safetensors", sample="all")
    trace = open_trace(tmp_path / "m.safetensors")
    assert (trace.num_sequences, trace.layer_numbers, trace.masks_only) == (3, (0, 1), True)
    assert trace.meta.provenance["sample"] == "all"
    for layer in trace:
        for head in range(2):
            kept = batch[layer.sequence, layer.number, head]
            assert np.array_equal(unpack_bits(layer.given_bits(head), 9), kept)


def test_a_mask_that_contradicts_causality_is_named_with_its_sequence(tmp_path):
    np.save(tmp_path / "m.npy", np.stack([np.tri(4, dtype=bool), np.ones((4, 4), bool)])[:, None, None])
    with pytest.raises(TraceError, match=r"keeps 6 positions above the diagonal in layer 0 sequence 1$"):
        import_mask(tmp_path / "m.npy", 8, tmp_path / "m.safetensors", causal=True, sample="all")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_synthetic_sequences_differ_and_the_first_is_what_one_would_be(pattern, tmp_path):
    """But a window, which follows from the lengths alone."""
    shape = {"num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "d_head": 8, "block": 8, "num_global": 3}
    one = Synthetic(pattern, Decimal("0.5"), 64, 64, **shape)
    paths = [tmp_path / f"{count}.safetensors" for count in (1, 3)]
    for path, count in zip(paths, (1, 3), strict=True):
        write_synthetic(path, replace(one, num_sequences=count), with_qkv=pattern == "top_k")
    alone, batch = MappedTensors(paths[0]), MappedTensors(paths[1])
    assert all(np.array_equal(alone.raw(name), batch.raw(name)) for name in alone)
    trace = open_trace(paths[1])
    masks = {layer.key: np.stack([layer.given_bits(head) for head in range(2)]).tobytes() for layer in trace}
    assert len(masks) == 6
    assert len(set(masks.values())) == (1 if pattern == "window" else 6)
    assert "num_sequences" not in open_trace(paths[0]).meta.provenance
    assert trace.meta.provenance["num_sequences"] == 3


def test_synthetic_sequences_are_of_one_model(tmp_path):
    """q is linear in x, the same for both sequences: 8 inputs of 4 numbers tell the weights."""
    wanted = Synthetic("top_k", Decimal("0.5"), 16, 16, num_heads=1, num_kv_heads=1, d_head=4, num_sequences=2)
    write_synthetic(tmp_path / "t.safetensors", wanted, with_qkv=True)
    first, second = open_trace(tmp_path / "t.safetensors").batch(0)
    weights, *_ = np.linalg.lstsq(first.x_q(), first.q(0), rcond=None)
    assert not np.allclose(first.x_q(), second.x_q(), atol=0.5)
    assert np.allclose(second.x_q() @ weights, second.q(0), atol=0.02)


def test_masks_of_a_batch_are_written_without_tensors(write):
    packed = np.full((1, 4, 1), 0xF0, np.uint8)
    layers = [MaskArrays(2, packed[:, :rows], 4, 8, 1, False, sequence) for sequence, rows in enumerate((4, 1))]
    trace = open_trace(write(*layers, kind="mask"))
    assert [(layer.key, layer.L_q) for layer in trace] == [((2, 0), 4), ((2, 1), 1)]
