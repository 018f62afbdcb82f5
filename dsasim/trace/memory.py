"""What was computed of a trace and may be asked for again: masks, plans and quality, when many designs run on it."""

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
class Form(Generic[Value]):
    """How a kind of value is taken apart into arrays, and how one is put together from them.

    Without `unpack` the kind is kept in memory only: making one takes less time than reading one back.
    """

    pack: Callable[[Value], Arrays]
    unpack: Callable[[Arrays], Value] | None = None


class Shelf(Protocol):
    """Where arrays outlive the process (`trace.disk_cache`)."""

    def load(self, key: str) -> Arrays | None:
        """Return the arrays stored under `key`, or None."""

    def store(self, key: str, arrays: Arrays) -> None:
        """Keep arrays under `key`, if there is room."""


class Memory:
    """Values by key, the least recently used forgotten first once their bytes exceed `max_bytes`.

    A key must name everything that its value depends on, in values that print the same in every process; values must
    never be written to. What a memory lacks it looks for on its `shelf`, and leaves there for others.
    """

    def __init__(self, max_bytes: int, shelf: Shelf | None = None) -> None:
        self._max_bytes = max_bytes
        self._shelf = shelf
        self._num_bytes = 0
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def recall(self, key: Hashable, compute: Callable[[], Value], form: Form[Value]) -> Value:
        """Return the value of `key`, computed if it is nowhere to be found."""
        if key in self._held:
            self._held.move_to_end(key)
            return cast("Value", self._held[key][0])
        value, num_bytes = self._shelved(key, compute, form)
        self._held[key] = (value, num_bytes)
        self._num_bytes += num_bytes
        while self._num_bytes > self._max_bytes:
            _, (_, num_bytes) = self._held.popitem(last=False)
            self._num_bytes -= num_bytes
        return value

    def _shelved(self, key: Hashable, compute: Callable[[], Value], form: Form[Value]) -> tuple[Value, int]:
        """Return the value from the shelf, or computed and put there; and its bytes."""
        if self._shelf is None or form.unpack is None:
            value = compute()
            return value, _num_bytes(form.pack(value))
        name = repr(key)
        arrays = self._shelf.load(name)
        if arrays is not None:
            return form.unpack(arrays), _num_bytes(arrays)
        value = compute()
        arrays = form.pack(value)
        self._shelf.store(name, arrays)
        return value, _num_bytes(arrays)


def _num_bytes(arrays: Arrays) -> int:
    return OVERHEAD_BYTES + sum(array.nbytes for array in arrays.values())


def whole(*numbers: int) -> NDArray[np.int64]:
    """Whole numbers as an array, int64."""
    return np.array(numbers, np.int64)
