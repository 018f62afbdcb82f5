"""Which part of a run is kept: layers, query heads, query rows, samples of the batch, one forward pass."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from dsasim.errors import TraceError

Numbers = tuple[int, ...]


@dataclass(frozen=True)
class CaptureSelection:
    """Numbers ascending and once each; None keeps all."""

    layers: Numbers | None = None
    heads: Numbers | None = None
    rows: Numbers | None = None
    sample: int | Literal["all"] = 0
    """An element of the batch, or all of them, each of which becomes a sequence."""
    step: int = 0

    @classmethod
    def of(
        cls,
        layers: Collection[int] | None,
        heads: Collection[int] | None,
        rows: Collection[int] | None,
        sample: int | Literal["all"],
        step: int,
    ) -> "CaptureSelection":
        """Check what a caller gave; TraceError names what is not a whole number from 0, or an empty choice."""
        samples = [0 if sample == "all" else sample]
        chosen = {"layers": layers, "heads": heads, "rows": rows, "sample": samples, "step": [step]}
        for name, numbers in chosen.items():
            if numbers is None:
                continue
            if not len(numbers):
                raise TraceError(f"capture: {name} is empty; None keeps all")
            wrong = [
                number for number in numbers if isinstance(number, bool | str) or int(number) != number or number < 0
            ]
            if wrong:
                or_all = ", or 'all'" if name == "sample" else ""
                raise TraceError(f"capture: {name} {wrong[0]!r} is not a whole number from 0{or_all}")
        return cls(
            _ascending(layers),
            _ascending(heads),
            _ascending(rows),
            sample if sample == "all" else int(sample),
            int(step),
        )

    def keeps(self, layer: int) -> bool:
        """Whether a layer is among those chosen."""
        return self.layers is None or layer in self.layers

    def samples(self, batch: int) -> Sequence[int]:
        """The elements of a batch that are kept; TraceError where there is no such one."""
        if self.sample == "all":
            return range(batch)
        if self.sample >= batch:
            raise TraceError(f"sample: no sample {self.sample} in a batch of {batch}")
        return (self.sample,)


def _ascending(numbers: Collection[int] | None) -> Numbers | None:
    return None if numbers is None else tuple(sorted({int(number) for number in numbers}))


MOST_NUMBERS = 1 << 20
"""More than a selection can mean: the text 0-999999999 is a mistake."""


def parse_numbers(text: str, flag: str) -> Numbers:
    """The numbers that `text` names, ascending and once each: `0,3` or `0-3,8`; TraceError names `flag`."""
    chosen = set[int]()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        bounds = (first, last if dash else first)
        if not all(word.isascii() and word.isdigit() and len(word) <= 9 for word in bounds):
            raise TraceError(f"{flag} {text}: expected numbers and ranges such as 0,3 or 0-3")
        low, high = map(int, bounds)
        if not low <= high < low + MOST_NUMBERS:
            raise TraceError(f"{flag} {text}: the range {part.strip()} runs backwards or is longer than any model")
        chosen.update(range(low, high + 1))
    return tuple(sorted(chosen))


def ranges(numbers: Collection[int]) -> str:
    """Ascending numbers as text: `0-3,8`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)
