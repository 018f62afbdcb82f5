"""The digest of a trace's content, and the one spelling of its metadata."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from dsasim.errors import TraceError
from dsasim.inputs.printable import printable
from dsasim.inputs.strict_json import parse_json
from dsasim.trace.tensors import TensorStore

UNKNOWN = "0" * 64
"""Stands for the digest in a header that is written before the content is known."""


def content_digest(metadata: Mapping[str, Any], tensors: TensorStore) -> str:
    """sha256 over the metadata (its own `sha256` apart) and each tensor's name, type, shape and bytes, by name."""
    digest = hashlib.sha256(canonical({key: value for key, value in metadata.items() if key != "sha256"}).encode())
    for name in tensors:
        digest.update(canonical([name, tensors.dtype(name).str, list(tensors.shape(name))]).encode())
        digest.update(np.ascontiguousarray(tensors.raw(name)).data)
    return digest.hexdigest()


def canonical(value: object) -> str:
    """JSON with one spelling for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def as_read(name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata from outside as a reader will find it, keys as text; TraceError where JSON cannot hold it."""
    try:
        found: dict[str, Any] = parse_json(canonical(metadata))
    except (TypeError, ValueError, RecursionError) as error:
        raise TraceError(f"{printable(name)}: metadata that JSON cannot hold: {printable(error)}") from None
    return found
