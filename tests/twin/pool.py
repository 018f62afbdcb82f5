"""K or V of heads that do not fit: a pool of vectors, fetched part by part (rule "K/V residency")."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from twin.plan import Step

Groups = list[list[Step]]
Key = Hashable


def parts_of(groups: Groups, capacity: int) -> list[Groups]:
    """Halve a tile's groups while their keys exceed the pool; cut one group too big by steps, as many as fit."""
    if len(keys_of(groups)) <= capacity:
        return [groups]
    if len(groups) > 1:
        half = (len(groups) + 1) // 2
        return parts_of(groups[:half], capacity) + parts_of(groups[half:], capacity)
    parts: list[Groups] = []
    some: list[Step] = []
    for step in groups[0]:
        if len(keys_of([[*some, step]])) > capacity:
            parts.append([some])
            some = []
        some.append(step)
    return [*parts, [some]]


def keys_of(groups: Groups) -> set[int]:
    """All keys that the groups load."""
    return {key for group in groups for step in group for key in step}


@dataclass
class Part:
    """The keys (kv head, key) of one array job."""

    keys: set[tuple[int, int]]
    fetched: bool = False
    ended: bool = False

    def end(self) -> None:
        """The array job is over: its keys are locked no more."""
        self.ended = True


@dataclass
class Pool:
    """Vectors on chip, each stamped by the last part that asked for it."""

    capacity: int
    stamps: dict[tuple[int, int], int] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)

    def add(self, part: Part) -> None:
        """The next part in array order."""
        self.parts.append(part)

    def has_room(self, part: Part) -> bool:
        """Whether the part's keys fit beside the locked ones: those stamped by a part fetched and not ended."""
        locked = {key for key, stamp in self.stamps.items() if not self.parts[stamp].ended}
        return len(part.keys | locked) <= self.capacity

    def fetch(self, part: Part) -> list[tuple[int, int]]:
        """Make room, stamp all keys of the part, and return the missing ones, ascending."""
        number = self.parts.index(part)
        missing = sorted(key for key in part.keys if key not in self.stamps)
        while len(self.stamps) + len(missing) > self.capacity:
            free = [key for key, at in self.stamps.items() if self.parts[at].ended and key not in part.keys]
            del self.stamps[min(free, key=lambda key: (self.stamps[key], key))]
        for key in part.keys:
            self.stamps[key] = number
        part.fetched = True
        return missing
