"""Readers of traces and masks: whole files, headers, metadata whose digest is right again, .npy files."""

import io
import json
import warnings
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load

from dsasim.errors import TraceError
from dsasim.inputs.npy import map_npy
from dsasim.inputs.source import Source
from dsasim.trace.digest import content_digest
from dsasim.trace.info import trace_info
from dsasim.trace.masks import import_mask
from dsasim.trace.packing import unpack_bits
from dsasim.trace.store import open_trace
from dsasim.trace.synthetic import Synthetic, write_synthetic
from dsasim.trace.tensors import LENGTH_BYTES, MappedTensors
from dsasim.train.self_fit import fit_trace
from fuzz.attack import Reader

SHAPE = (2, 2, 2, 3)
MASKS = np.arange(24).reshape(SHAPE) % 3 > 0


def trace_readers(folder: Path) -> tuple[Reader, ...]:
    """Readers of traces, attacked with small ones that this makes."""
    fitted, masks = paths = _traces(folder)
    whole = tuple(path.read_bytes() for path in paths)
    of_trace = partial(Reader, file="t.safetensors", text=True)
    return (
        Reader("trace", "t.safetensors", whole, _same_trace, text=False),
        *(
            of_trace(f"header of {path.stem}", seeds=(_header(path),), read=_use_trace, spread=_header_spread(path))
            for path in paths
        ),
        *(
            of_trace(
                f"metadata of {path.stem}", seeds=(_metadata(path),), read=_use_trace, spread=_metadata_spread(path)
            )
            for path in (fitted, masks)
        ),
    )


def mask_readers() -> tuple[Reader, ...]:
    """Readers of .npy files."""
    files = [_npy(MASKS), _npy(np.asfortranarray(MASKS)), _npy(MASKS[None]), _npy(MASKS.astype(np.float32))]
    headers = tuple(file[: -MASKS.size] for file in files[:3])
    return (
        Reader("npy header", "m.npy", headers, _same_array, text=True, spread=lambda part: part + MASKS.tobytes()),
        Reader("import-mask", "m.npy", tuple(files), _same_masks, text=False),
    )


def _traces(folder: Path) -> tuple[Path, Path]:
    """A trace with queries, masks and a predictor, and one of masks alone, on two sequences."""
    whole = Synthetic("top_k", Decimal("0.5"), 6, 9, num_layers=2, num_heads=4, num_kv_heads=2, d_head=4, causal=True)
    write_synthetic(folder / "bare.safetensors", whole, with_qkv=True)
    fit_trace(folder / "bare.safetensors", folder / "fitted.safetensors", [Decimal("0.25")], rotary_base=10_000.0)
    write_synthetic(folder / "masks.safetensors", Synthetic("window", Decimal("0.5"), 6, 9, d_head=8, num_sequences=2))
    return folder / "fitted.safetensors", folder / "masks.safetensors"


def _header(path: Path) -> bytes:
    data = path.read_bytes()
    return data[LENGTH_BYTES : LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")]


def _metadata(path: Path) -> bytes:
    return MappedTensors(path).metadata["dsasim"].encode()


def _header_spread(path: Path):
    """A header in front of the tensors of a trace, its length right."""
    tensors = path.read_bytes()[LENGTH_BYTES + len(_header(path)) :]
    return lambda part: len(part).to_bytes(LENGTH_BYTES, "little") + part + tensors


def _metadata_spread(path: Path):
    """Metadata in the header of a trace, its digest right if it can be: it must not do a schema's work."""
    mapped, header, spread = MappedTensors(path), json.loads(_header(path)), _header_spread(path)

    def made(part: bytes) -> bytes:
        text = part.decode("utf-8", "replace")
        with suppress(ValueError, TypeError, LookupError, RecursionError):
            document = json.loads(text)
            text = text.replace(str(document["sha256"]), content_digest(document, mapped))
        return spread(json.dumps(header | {"__metadata__": {"dsasim": text}}).encode())

    return made


def _same_trace(path: Path, seed: bytes) -> None:
    """A trace covers itself with a digest: what is taken is what was written, by another library's reading."""
    _use_trace(path, seed)
    found, wanted = load(path.read_bytes()), load(seed)
    assert found.keys() == wanted.keys()
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)
    assert all(found[name].shape == wanted[name].shape for name in wanted)


def _use_trace(path: Path, _seed: bytes) -> None:
    """Open a trace and read all that it has."""
    trace = open_trace(path)
    trace_info(trace)
    for layer in trace:
        for head in range(layer.num_heads):
            layer.given_bits(head)
        for sigma in layer.sigmas:
            layer.predictor(sigma)


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _loaded(path: Path) -> np.ndarray:
    """A file's array as NumPy reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.load(path, allow_pickle=False)


def _same_array(path: Path, _seed: bytes) -> None:
    found, wanted = map_npy(Source(path, "an array", 1 << 20, TraceError)), _loaded(path)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    assert np.array(found).tobytes() == np.array(wanted).tobytes()


def _same_masks(path: Path, _seed: bytes) -> None:
    out = path.with_name("imported.safetensors")
    out.unlink(missing_ok=True)
    try:
        import_mask(path, 8, out)
    except TraceError:
        assert not out.exists()
        raise
    wanted = _loaded(path).reshape(-1, *SHAPE[1:]) if path.stat().st_size else None
    for layer, heads in zip(open_trace(out), wanted, strict=True):
        for head, kept in enumerate(heads):
            assert np.array_equal(unpack_bits(layer.given_bits(head), layer.L_k), kept)
