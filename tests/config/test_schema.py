"""The schema explains itself."""

from collections.abc import Iterator

import pytest

from dsasim.config.keys import all_keys
from dsasim.config.schema import ArchConfig, Section


def sections() -> Iterator[tuple[str, type[Section]]]:
    yield "design", ArchConfig
    for path, key in all_keys().items():
        if key.section:
            yield ".".join(path), key.section


@pytest.mark.parametrize(("path", "section"), list(sections()))
def test_every_field_says_what_it_is(path: str, section: type[Section]) -> None:
    assert [name for name, field in section.model_fields.items() if not (field.description or "").strip()] == []
