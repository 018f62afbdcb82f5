"""What was computed of a trace and may be asked for again: masks and their quality, when many designs run on it."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

Value = TypeVar("Value")


class Memory:
    """Values by key, the least recently used forgotten first once their bytes exceed `max_bytes`.

    A key must name everything that its value depends on; values must never be written to.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def recall(self, key: Hashable, compute: Callable[[], Value], size: Callable[[Value], int]) -> Value:
        """Return the value of `key`, computed if it is not held; `size` says how many bytes a value takes."""
        if key in self._held:
            self._held.move_to_end(key)
            return cast("Value", self._held[key][0])
        value = compute()
        self._held[key] = (value, size(value))
        self._num_bytes += self._held[key][1]
        while self._num_bytes > self._max_bytes:
            _, (_, num_bytes) = self._held.popitem(last=False)
            self._num_bytes -= num_bytes
        return value
