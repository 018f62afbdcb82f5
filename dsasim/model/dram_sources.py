"""The reader of dram_presets.yaml, in which every value stands under its source: one without is not a preset's."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PresetValue = int | str | dict[str, int]
"""A number, the name of a bus, or ticks by command."""


class PresetModel(BaseModel):
    """Unknown keys are errors, and so are numbers in quotes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ValueSource(PresetModel):
    """Where values come from: copied from a `table`, `computed` by a formula, or `assumed`; `text` is the citation."""

    kind: Literal["table", "computed", "assumed"]
    text: Annotated[str, Field(min_length=10)]


class PresetEntry(PresetModel):
    """One preset: its values by name, under the name of their source."""

    standard: str
    channel: str
    values: dict[str, dict[str, PresetValue]]


@dataclass(frozen=True)
class SourcedValues:
    """The values of a preset that have one source."""

    source: ValueSource
    values: dict[str, PresetValue]

    def to_json(self) -> dict[str, object]:
        """As results hold it."""
        return {"kind": self.source.kind, "source": self.source.text, "values": self.values}


class PresetFile(PresetModel):
    """The whole file; a ValidationError says which source is unknown or unused, and which value has two."""

    sources: dict[str, ValueSource]
    presets: dict[str, PresetEntry]
    aliases: dict[str, str]

    def sourced(self, preset: str) -> tuple[SourcedValues, ...]:
        """The values of a preset, source by source."""
        groups = self.presets[preset].values
        return tuple(SourcedValues(self.sources[name], values) for name, values in groups.items())

    @model_validator(mode="after")
    def _each_value_has_one_source(self) -> Self:
        named = Counter(source for entry in self.presets.values() for source in entry.values)
        if unknown := sorted(named.keys() - self.sources.keys()):
            raise ValueError(f"values stand under {unknown[0]!r}, which is not among the sources")
        if unused := sorted(self.sources.keys() - named.keys()):
            raise ValueError(f"no value stands under the source {unused[0]!r}")
        if adrift := sorted(set(self.aliases.values()) - self.presets.keys()):
            raise ValueError(f"an alias of {adrift[0]}, which is no preset")
        for preset, entry in self.presets.items():
            names = Counter(name for values in entry.values.values() for name in values)
            if twice := [name for name, times in names.items() if times > 1]:
                raise ValueError(f"{preset}: {twice[0]} stands under two sources")
        return self
