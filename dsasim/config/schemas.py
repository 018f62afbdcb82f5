"""Which schema a design is checked against: its machine's, with the sections of the parts that it names."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import create_model

from dsasim import registry
from dsasim.config.schema import USUAL_DESIGN, ArchConfig, MachineConfig, Section

NAMED_SECTIONS: Mapping[str, tuple[str, str]] = {
    "predictor": ("methods", "method"),
    "mask_generator": ("selectors", "selection"),
    "pe_array": ("dataflows", "dataflow"),
}
"""Sections of the usual machine that a part may add keys to: the kind of the part, and the key that names it."""

NAMING_KEYS = (("design",), *((section, key) for section, (_, key) in NAMED_SECTIONS.items()))
"""Keys on whose values it depends which other keys there are."""


def schema_of(values: Mapping[str, Any]) -> type[MachineConfig]:
    """The schema of a design's values; where a name is unknown the plain one, which says so."""
    name = values.get("design", USUAL_DESIGN)
    if not isinstance(name, str) or name not in registry.names("designs"):
        return ArchConfig
    settings: type[MachineConfig] = registry.find("designs", name).Settings
    if settings is not ArchConfig:
        return settings
    return _with_sections(tuple(_section(values, section, *named) for section, named in NAMED_SECTIONS.items()))


def design_from(values: Mapping[str, Any]) -> MachineConfig:
    """The design of checked values: sections are those of their parts. pydantic's ValidationError for wrong ones."""
    return as_design(schema_of(values).model_validate(values))


def as_design(checked: MachineConfig) -> MachineConfig:
    """A design of the class that is written in a file, whose sections keep what their parts add; it can be pickled."""
    if not isinstance(checked, ArchConfig):
        return checked
    return ArchConfig.model_validate({name: getattr(checked, name) for name in ArchConfig.model_fields})


def _section(values: Mapping[str, Any], section: str, kind: str, key: str) -> type[Section]:
    """The class of a section: that of the part that it names, else the plain one."""
    given = values.get(section)
    name = given.get(key) if isinstance(given, Mapping) else getattr(given, key, None)
    plain = _plain(section)
    if not isinstance(name, str) or name not in registry.names(kind):
        return plain
    chosen: type[Section] = registry.find(kind, name).Settings
    return chosen


def _plain(section: str) -> type[Section]:
    annotation = ArchConfig.model_fields[section].annotation
    plain: type[Section] = next(
        part for part in (annotation, *getattr(annotation, "__args__", ())) if isinstance(part, type)
    )
    return plain


@cache
def _with_sections(sections: tuple[type[Section], ...]) -> type[ArchConfig]:
    fields: dict[str, Any] = {}
    for name, section in zip(NAMED_SECTIONS, sections, strict=True):
        if section is not _plain(name):
            known = ArchConfig.model_fields[name]
            fields[name] = (section if known.is_required() else section | None, known)
    return create_model("ArchConfig", __base__=ArchConfig, **fields) if fields else ArchConfig
