"""The streamed file is the one the safetensors library writes; nothing is left of one that fails."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from dsasim.errors import TraceError
from dsasim.trace.store import open_trace
from dsasim.trace.stream import StreamedTensor, write_stream
from dsasim.trace.tensors import MappedTensors


def test_the_bytes_are_those_of_the_library(
    write: Callable[..., Path], make_layer: Callable, make_fit: Callable
) -> None:
    path = write(make_layer(predictors=(make_fit(),)), name="ä", model="mödel")
    metadata = MappedTensors(path).metadata
    assert path.read_bytes() == save(load_file(path), metadata=metadata)


def test_parts_are_joined_and_the_digest_is_right(
    write: Callable[..., Path], make_layer: Callable, tmp_path: Path
) -> None:
    source = write(make_layer())
    mapped = MappedTensors(source)
    metadata = json.loads(mapped.metadata["dsasim"])
    del metadata["sha256"]
    split = {
        name: StreamedTensor(mapped.dtype(name), mapped.shape(name), partial(iter, mapped.raw(name))) for name in mapped
    }
    write_stream(tmp_path / "again.safetensors", split, metadata)
    assert (tmp_path / "again.safetensors").read_bytes() == source.read_bytes()
    assert open_trace(tmp_path / "again.safetensors").meta.sha256 == open_trace(source).meta.sha256


def test_a_tensor_that_is_too_short_leaves_nothing(tmp_path: Path) -> None:
    short = StreamedTensor(np.dtype(np.uint8), (1, 8, 1), lambda: [np.zeros(7, np.uint8)])
    with pytest.raises(TraceError, match=r"layer\.0\.keep: 7 bytes came; 8 were announced"):
        write_stream(tmp_path / "t.safetensors", {"layer.0.keep": short}, {})
    assert list(tmp_path.iterdir()) == []
