"""Slots in view: the same slots, that say how many are taken whenever that changes."""

from collections.abc import Callable

from simpy import Environment, Event

from dsasim.model.operands import Slots

Watcher = Callable[[str, int, int], None]
"""Told (name, cycle, slots taken from then on)."""


class WatchedSlots(Slots):
    """Tells `watch`, at first that none are taken."""

    def __init__(self, env: Environment, name: str, count: int, watch: Watcher) -> None:
        super().__init__(env, name, count)
        self._env, self._watch = env, watch
        self._tell()

    def reserve(self) -> Event:
        """An event that fires when a slot is yours."""
        reserved = super().reserve()
        assert reserved.callbacks is not None
        reserved.callbacks.append(self._tell)
        return reserved

    def release(self) -> None:
        """Give a slot back."""
        super().release()
        self._tell()

    def _tell(self, _: Event | None = None) -> None:
        self._watch(self.name, int(self._env.now), self.count - int(self._free.level))
