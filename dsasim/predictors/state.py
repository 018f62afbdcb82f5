"""What earlier layers, steps or rounds left for a method: passed on explicitly, never kept aside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class State:
    """Values by name, each the affair of the method that left it: probabilities summed over layers, pruned tokens."""

    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def with_value(self, name: str, value: Any) -> "State":
        """The same and one more, or another value of that name."""
        return State(MappingProxyType({**self.values, name: value}))


NO_STATE = State()
