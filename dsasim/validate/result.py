"""The outcome of a validation: what was validated with what, and every check."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dsasim.trace.attention import TraceMeta
from dsasim.validate.check import Check

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ValidatedShape:
    """Sizes of a layer, and the type its Q, K and V are stored in (bits: a trace of masks)."""

    num_heads: int
    num_kv_heads: int
    L_q: int
    L_k: int
    d_head: int
    causal: bool
    stored: str

    def __str__(self) -> str:
        length = f"{self.L_q}" if self.L_q == self.L_k else f"{self.L_q} x {self.L_k}"
        kind = "causal" if self.causal else "bidirectional"
        heads = f"{self.num_heads} heads ({self.num_kv_heads} kv)"
        return f"L {length}, {heads}, d_head {self.d_head}, {kind}, {self.stored}"


@dataclass(frozen=True)
class Validation:
    """`selection` is layer number -> query heads, of each sequence; `versions` name dsasim, Python and libraries.

    `machine` is the device's name and, of a GPU, its driver and clocks; `source_sha256` stands for the commit; `shapes`
    are those of the chosen layers, on each sequence.
    `notes` must stand beside the figures (`trace.notes`).
    """

    arch_name: str
    arch_sha256: str
    trace: TraceMeta
    selection: Mapping[int, Sequence[int]]
    device: str
    versions: Mapping[str, str]
    checks: tuple[Check, ...]
    machine: Mapping[str, str | int] = field(default_factory=dict)
    source_sha256: str = ""
    shapes: Mapping[int, Sequence[ValidatedShape]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "failed")

    def count(self, status: str) -> int:
        """How many checks ended so."""
        return sum(check.status == status for check in self.checks)

    def skipped_for(self) -> Mapping[str, tuple[Check, ...]]:
        """The skipped checks by why they were."""
        checks = [check for check in self.checks if check.status == "skipped"]
        reasons = dict.fromkeys(check.detail for check in checks)
        return {reason: tuple(check for check in checks if check.detail == reason) for reason in reasons}

    @property
    def num_sequences(self) -> int:
        """Sequences of the trace."""
        return max(map(len, self.shapes.values()), default=1)

    def shape_of(self, number: int, sequence: int | None) -> ValidatedShape | None:
        """The shape of a layer, if it is known."""
        return self.shapes[number][sequence or 0] if number in self.shapes else None

    def layers(self) -> Iterator[tuple[int, int | None, Sequence[int]]]:
        """Number, sequence where there are several, and query heads of all that was validated."""
        sequences = [None] if self.num_sequences == 1 else range(self.num_sequences)
        return ((number, sequence, heads) for number, heads in self.selection.items() for sequence in sequences)

    def _layers(self) -> Iterator[dict[str, Any]]:
        for number, sequence, heads in self.layers():
            which = {"layer": number} if sequence is None else {"layer": number, "sequence": sequence}
            shape = self.shape_of(number, sequence)
            yield which | {"heads": list(heads)} | ({} if shape is None else asdict(shape))

    def to_json(self) -> dict[str, Any]:
        """What `dsasim validate --json` writes: no paths, dates or hosts."""
        return {
            "schema_version": SCHEMA_VERSION,
            "dsasim_version": self.versions["dsasim"],
            "source_sha256": self.source_sha256,
            "status": "failed" if self.failures else "passed",
            "arch": self.arch_name,
            "arch_sha256": self.arch_sha256,
            "trace": {key: getattr(self.trace, key) for key in ("name", "sha256", "kind", "model")}
            | {"provenance": dict(self.trace.provenance)},
            "layers": list(self._layers()),
            "notes": list(self.notes),
            "device": self.device,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "checks": [check.to_json() for check in self.checks],
        }
