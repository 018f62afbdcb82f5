"""Masks from NumPy files."""

import os
import re
import tracemalloc
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays

from dsasim.errors import TraceError
from dsasim.trace.masks import import_mask
from dsasim.trace.packing import unpack_bits
from dsasim.trace.store import open_trace

reused = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def import_array(tmp_path):
    """Save an array, import it and open the trace."""

    def run(array, d_head=8, **options):
        np.save(tmp_path / "mask.npy", array)
        import_mask(tmp_path / "mask.npy", d_head, tmp_path / "mask.safetensors", **options)
        return open_trace(tmp_path / "mask.safetensors")

    return run


@reused
@given(mask=arrays(np.bool_, st.tuples(*(st.integers(1, n) for n in (2, 3, 9, 17)))), pruned_is_true=st.booleans())
def test_every_position_is_imported(mask, pruned_is_true, import_array):
    trace = import_array(mask, pruned_is_true=pruned_is_true)
    assert trace.layer_numbers == tuple(range(len(mask)))
    for layer, heads in zip(trace, mask, strict=True):
        assert (layer.num_heads, layer.L_q, layer.L_k) == heads.shape
        for head, kept in enumerate(heads):
            assert np.array_equal(unpack_bits(layer.given_bits(head), layer.L_k), ~kept if pruned_is_true else kept)


@pytest.mark.parametrize("pruned_is_true", [False, True])
def test_of_a_batch_one_sample_is_imported(pruned_is_true, import_array):
    batch = np.random.default_rng(0).random((3, 2, 2, 5, 9)) < 0.4
    trace = import_array(batch, sample=2, pruned_is_true=pruned_is_true)
    assert trace.meta.provenance == {"file": "mask.npy", "pruned_is_true": pruned_is_true, "sample": 2, "batch": 3}
    for layer, heads in zip(trace, batch[2], strict=True):
        for head, kept in enumerate(heads):
            assert np.array_equal(unpack_bits(layer.given_bits(head), 9), kept ^ pruned_is_true)


def test_a_sample_is_chosen_of_a_batch_and_only_there(import_array):
    batch = np.ones((3, 1, 1, 2, 2), bool)
    with pytest.raises(TraceError, match=r"is a batch, \[batch, .*\]: choose a sample, 0-2, or all$"):
        import_array(batch)
    for sample in (3, -1):
        with pytest.raises(TraceError, match=f"no sample {sample} in a batch of 3: choose one of 0-2, or all$"):
            import_array(batch, sample=sample)
    with pytest.raises(TraceError, match="is no batch, there is no sample 0 to choose"):
        import_array(batch[0], sample=0)
    assert import_array(batch[:1]).meta.provenance["sample"] == 0


@pytest.mark.parametrize("pruned_is_true", [False, True])
def test_memory_is_bounded_by_a_block_of_rows(pruned_is_true, tmp_path):
    """A batch of 96 MiB, of which a sample of 48 MiB is imported (6 MiB packed); NumPy's allocations are traced."""
    source = np.lib.format.open_memmap(tmp_path / "m.npy", mode="w+", dtype=np.bool_, shape=(2, 3, 4, 2048, 2048))
    source[1, :, :, :, ::3] = True
    source.flush()
    del source
    import_mask(_small(tmp_path), 8, tmp_path / "warm.safetensors")
    tracemalloc.start()
    import_mask(tmp_path / "m.npy", 64, tmp_path / "t.safetensors", sample=1, pruned_is_true=pruned_is_true)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6
    last = unpack_bits(open_trace(tmp_path / "t.safetensors").layer(2).given_bits(3), 2048)
    assert (last == ((np.arange(2048) % 3 == 0) ^ pruned_is_true)).all()


def _small(folder):
    np.save(folder / "small.npy", np.ones((1, 1, 2, 2), np.bool_))
    return folder / "small.npy"


def test_a_mask_trace_has_shapes_but_no_tensors(import_array):
    trace = import_array(np.ones((1, 6, 4, 4), dtype=bool), d_head=16, num_kv_heads=2)
    layer = trace.layer(0)
    assert (trace.meta.kind, trace.meta.name) == ("mask", "mask")
    assert trace.meta.provenance == {"file": "mask.npy", "pruned_is_true": False}
    assert (layer.d_head, layer.d_model, layer.num_kv_heads, layer.has_qkv) == (16, 96, 2, False)
    assert (layer.scale, layer.sigmas, layer.d_ff) == (0.25, (), None)
    assert layer.allowed().all()
    with pytest.raises(TraceError, match=r"layer 0 holds keep masks only: it has no q$"):
        layer.q(0)


def test_a_causal_mask_may_not_keep_what_causality_forbids(import_array, tmp_path):
    mask = np.tril(np.ones((1, 2, 4, 6), dtype=bool), 2)
    assert import_array(mask, causal=True).layer(0).allowed().sum() == 3 + 4 + 5 + 6
    mask[0, 1, 0, 3:] = True
    with pytest.raises(TraceError, match=r"mask\.npy: the mask is .* causal and keeps 3 .* in layer 0$"):
        import_array(mask, causal=True)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((1, 2, 3, 3)), "type float64; a mask is bool [layers, heads, L_q, L_k]"),
        (
            np.ones((2, 3, 3), bool),
            "shape [2, 3, 3] has 3 axes; a mask has four, [layers, heads, L_q, L_k], a ",
        ),
        (np.ones((0, 2, 3, 3), bool), "shape [0, 2, 3, 3] holds no position"),
        (np.ones((1, 2, 3, 0), bool), "shape [1, 2, 3, 0] holds no position"),
    ],
)
def test_arrays_that_are_not_masks(array, message, import_array, tmp_path):
    with pytest.raises(TraceError, match="^" + re.escape(f"{tmp_path / 'mask.npy'}: {message}")):
        import_array(array)
    assert not (tmp_path / "mask.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_kv_heads": 3}, "3 kv heads do not divide the mask's 4 heads"),
        ({"num_kv_heads": 0}, "0 kv heads do not divide the mask's 4 heads"),
        ({"d_head": 0}, "d_head 0 is not a positive number of elements"),
    ],
)
def test_options_that_do_not_fit_the_mask(options, message, import_array):
    with pytest.raises(TraceError, match=re.escape(f"mask.npy: {message}") + "$"):
        import_array(np.ones((1, 4, 2, 2), dtype=bool), **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: not a NumPy array file (.npy) of booleans [layers, heads, L_q, L_k]"),
        (b"a text file", "not a NumPy array file (.npy) of booleans [layers, heads, L_q, L_k]: "),
        (None, "cannot be read: no such file or directory"),
    ],
)
def test_files_that_are_not_arrays(content, message, tmp_path):
    path = tmp_path / "mask.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TraceError, match="^" + re.escape(f"{path}: {message}")):
        import_mask(path, 8, tmp_path / "out.safetensors")


def test_pickled_objects_and_truncated_arrays_are_refused(tmp_path):
    path = tmp_path / "mask.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(
        TraceError, match=r"not a NumPy array file .*: it holds Python objects, which are not unpickled"
    ):
        import_mask(path, 8, tmp_path / "out.safetensors")
    np.save(path, np.ones((1, 1, 8, 8), dtype=bool))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        TraceError, match=r"not a NumPy array file .*: shape .* takes 64 bytes, and 63 follow the header"
    ):
        import_mask(path, 8, tmp_path / "out.safetensors")


def test_nothing_is_renamed_over_a_pipe_a_link_or_the_masks_themselves(tmp_path: Path) -> None:
    masks, pipe, link, real = (tmp_path / name for name in ("m.npy", "pipe", "link", "real.safetensors"))
    np.save(masks, np.ones((1, 1, 2, 2), np.bool_))
    os.mkfifo(pipe)
    real.write_bytes(b"old")
    link.symlink_to(real)
    with pytest.raises(TraceError, match="not a regular file"):
        import_mask(masks, 4, pipe)
    assert pipe.is_fifo()
    with pytest.raises(TraceError, match="would replace the masks"):
        import_mask(masks, 4, masks)
    import_mask(masks, 4, link)
    assert link.is_symlink()
    assert real.read_bytes() != b"old"
