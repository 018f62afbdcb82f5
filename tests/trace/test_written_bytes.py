"""A trace is written one tensor at a time, as the safetensors library would write it at once."""

import numpy as np
from safetensors.numpy import save

from dsasim.trace.tensors import DTYPES, MemoryTensors, write_tensors


def test_the_bytes_are_those_of_the_library(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        f"{name}.{number}": rng.integers(0, 9, shape).astype(dtype)
        for name, dtype in DTYPES.items()
        for number, shape in enumerate([(3, 5), (), (0, 4), (2, 1, 7)])
    }
    arrays["before all others"] = np.ones((2, 3), np.float16)[:, ::2]
    metadata = {"dsasim": '{"model":"ü \\u0001 \\" /"}'}
    write_tensors(tmp_path / "ours", MemoryTensors("", arrays), metadata)
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    assert (tmp_path / "ours").read_bytes() == save(contiguous, metadata=metadata)
