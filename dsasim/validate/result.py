"""The outcome of a validation: what was validated with what, and every check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsasim.trace.attention import TraceMeta
from dsasim.validate.check import Check

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Validation:
    """`selection` is layer number -> query heads; `versions` name dsasim, Python and the libraries that computed.

    `notes` must stand beside the figures (`trace.notes`).
    """

    arch_name: str
    arch_sha256: str
    trace: TraceMeta
    selection: Mapping[int, Sequence[int]]
    device: str
    versions: Mapping[str, str]
    checks: tuple[Check, ...]
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

    def to_json(self) -> dict[str, Any]:
        """What `dsasim validate --json` writes: no paths, dates or hosts."""
        return {
            "schema_version": SCHEMA_VERSION,
            "dsasim_version": self.versions["dsasim"],
            "status": "failed" if self.failures else "passed",
            "arch": self.arch_name,
            "arch_sha256": self.arch_sha256,
            "trace": {key: getattr(self.trace, key) for key in ("name", "sha256", "kind", "model")}
            | {"provenance": dict(self.trace.provenance)},
            "layers": [{"layer": number, "heads": list(heads)} for number, heads in self.selection.items()],
            "notes": list(self.notes),
            "device": self.device,
            "versions": dict(self.versions),
            "checks": [check.to_json() for check in self.checks],
        }
