"""A cache of what was computed of a trace: its masks, plans and quality, when many designs run on it."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")
Arrays = Mapping[str, NDArray[Any]]

OVERHEAD_BYTES = 100
"""About what a key and a few small objects take."""


@dataclass(frozen=True)
class Codec(Generic[Value]):
    """How a kind of value is encoded as arrays, and decoded from them.

    Without `decode` the kind is kept in memory only: making one takes less time than reading one back.
    """

    encode: Callable[[Value], Arrays]
    decode: Callable[[Arrays], Value] | None = None


class BackingStore(Protocol):
    """Where arrays outlive the process: `trace.disk_cache`."""

    def load(self, key: str) -> Arrays | None:
        """Return the arrays stored under `key`, or None."""

    def store(self, key: str, arrays: Arrays) -> None:
        """Keep arrays under `key`, if there is space."""


class MemoryCache:
    """Values by key, the least recently used evicted first once their bytes exceed `max_bytes`.

    A key must name everything that its value depends on, in values that print the same in every process; values must
    never be written to. What is not held is looked for in `store`, the backing store, and left there for others.
    """

    def __init__(self, max_bytes: int, store: BackingStore | None = None) -> None:
        self._max_bytes = max_bytes
        self._store = store
        self._num_bytes = 0
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get_or_compute(self, key: Hashable, compute: Callable[[], Value], codec: Codec[Value]) -> Value:
        """Return the value of `key`, computed if it is nowhere to be found."""
        if key in self._held:
            self._held.move_to_end(key)
            return cast("Value", self._held[key][0])
        value, num_bytes = self._stored(key, compute, codec)
        self._held[key] = (value, num_bytes)
        self._num_bytes += num_bytes
        while self._num_bytes > self._max_bytes:
            _, (_, num_bytes) = self._held.popitem(last=False)
            self._num_bytes -= num_bytes
        return value

    def _stored(self, key: Hashable, compute: Callable[[], Value], codec: Codec[Value]) -> tuple[Value, int]:
        """Return the value from the backing store, or computed and put there; and its bytes."""
        if self._store is None or codec.decode is None:
            value = compute()
            return value, _num_bytes(codec.encode(value))
        name = repr(key)
        arrays = self._store.load(name)
        if arrays is not None:
            return codec.decode(arrays), _num_bytes(arrays)
        value = compute()
        arrays = codec.encode(value)
        self._store.store(name, arrays)
        return value, _num_bytes(arrays)


def _num_bytes(arrays: Arrays) -> int:
    return OVERHEAD_BYTES + sum(array.nbytes for array in arrays.values())


def whole(*numbers: int) -> NDArray[np.int64]:
    """Whole numbers as an array, int64."""
    return np.array(numbers, np.int64)
