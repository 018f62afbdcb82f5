"""From a name or a YAML file to a checked, frozen design."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from os import PathLike
from pathlib import Path
from typing import Any

from dsasim.config.base import with_bases
from dsasim.config.check import check_document
from dsasim.config.mapping import mapping_document
from dsasim.config.overrides import apply_overrides
from dsasim.config.schema import ArchConfig, MachineConfig
from dsasim.config.strict_yaml import Document, parse_document
from dsasim.errors import ConfigError
from dsasim.inputs.path_text import path_text
from dsasim.inputs.printable import printable
from dsasim.inputs.source import Source

MAX_FILE_BYTES = 1 << 20
"""A design has about a hundred lines; a megabyte is not one."""

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ShippedArch:
    """A design that comes with dsasim: its name, its file, and the first paragraph of the comment on top of it."""

    name: str
    path: Path
    summary: str


DesignLike = str | PathLike[str] | Mapping[str, Any] | MachineConfig
"""What a design may be given as: a shipped name, a file, a mapping with the keys of a file, or one that is loaded."""


def load_arch(design: DesignLike, overrides: Sequence[str] = ()) -> MachineConfig:
    """Return the design of a shipped name, of a file (a path, or text with a separator or a suffix), or of a mapping.

    A mapping has the keys and values of a YAML file: `yaml.safe_load` of one, or `arch` in a result's JSON. `overrides`
    are `section.key=value` with YAML scalars, the last one winning. Raises ConfigError with every problem found, one a
    line, as `file:line: section.key: what is wrong and what is allowed`; of a mapping the place is `<dict>`.
    """
    if isinstance(overrides, str):
        raise ConfigError(f'overrides are a list of texts, ["{overrides}"], not one text')
    document = _document(design)
    apply_overrides(document, overrides)
    return check_document(document)


def usual_arch(arch: MachineConfig, what: str) -> ArchConfig:
    """A design of the machine `dsa`, which `what` is for; ConfigError for one of another machine."""
    if not isinstance(arch, ArchConfig):
        raise ConfigError(f"{what} is for designs of the machine dsa; {arch.name} is one of {arch.design}")
    return arch


def _document(design: DesignLike) -> Document:
    if isinstance(design, MachineConfig):
        return mapping_document(design.model_dump(), f"<{design.name}>")
    if isinstance(design, Mapping):
        return mapping_document(design, f"<{type(design).__name__}>")
    return arch_document(*locate_arch(design))


def arch_document(path: Path, label: str, text: str | None = None) -> Document:
    """The document of a design's file, or of other `text` in its place, over its bases (`config.base`)."""
    folders = {printable(label): path.parent}

    def read(name: str, document: Document) -> Document:
        folder = folders[document.places[()].label.rpartition(":")[0]]
        is_file = "/" in name or bool(Path(name).suffix)
        base, base_label = locate_arch(folder / name if is_file else name)
        folders[printable(base_label)] = base.parent
        return read_document(base, base_label)

    document = read_document(path, label) if text is None else parse_document(text, printable(label))
    return with_bases(document, read)


def read_document(path: Path, label: str, what: str = "a design", *, places: str | None = None) -> Document:
    """Parse the YAML file at `path`, which should be `what` and which messages call `label`.

    `places` is what the document's own problems call it, if that is another name. ConfigError if it cannot be read.
    """
    return parse_document(read_yaml(path, label, what), places or printable(label), what)


def read_yaml(path: Path, label: str, what: str = "a design") -> str:
    """Return the text of a file that should be `what`; ConfigError if it cannot be read or is something else."""
    source = Source(path, what, MAX_FILE_BYTES, ConfigError, name=label)
    _refuse_other_files(source)
    return source.text()


def list_archs() -> tuple[ShippedArch, ...]:
    """Return the shipped designs, by name."""
    files = sorted(_shipped_folder("arch_configs").glob("*.yaml"))
    return tuple(ShippedArch(path.stem, path, _summary(path)) for path in files)


def locate_arch(name_or_path: str | PathLike[str]) -> tuple[Path, str]:
    """Return the file and what to call it in messages: the path as given, or the file's name for a shipped design.

    Raises ConfigError for a name that no shipped design has, and for what is neither a name nor a path.
    """
    given = path_text(name_or_path)
    if given is None:
        kind = type(name_or_path).__name__
        raise ConfigError(f"a design is a name, a path, a mapping or an ArchConfig, and not of type {kind}")
    if isinstance(name_or_path, PathLike) or "/" in given or "\\" in given or Path(given).suffix:
        return Path(given), given
    shipped = {arch.name: arch.path for arch in list_archs()}
    if given in shipped:
        return shipped[given], shipped[given].name
    raise ConfigError(_unknown_name(given, sorted(shipped)))


def _unknown_name(name: str, shipped: list[str]) -> str:
    if name in {path.stem for path in _shipped_folder("traces").glob("*.safetensors")}:
        return f"{name!r} is a trace, not a design; a design comes first: dsasim run DESIGN {name}"
    close = difflib.get_close_matches(name, shipped, 1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    known = ", ".join(shipped)
    return f"no design named {name!r}; {meant}shipped are {known}; a file needs its suffix or a path (./{name})"


def _shipped_folder(kind: str) -> Path:
    """Return the folder of shipped `kind`: inside an installed package, else beside it (an editable install)."""
    for folder in (_PACKAGE / kind, _PACKAGE.parent / kind):
        if folder.is_dir():
            return folder
    raise ConfigError(f"this installation of dsasim has no {kind} folder; install it again")


def _refuse_other_files(source: Source) -> None:
    """Name the two files that are most often given in a document's place, by how they begin."""
    head = source.head(10)
    if head[8:] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 32:
        hint = f"; a design comes first: dsasim run DESIGN {source.label}" if source.what == "a design" else ""
        source.refuse(f"is a trace, not {source.what}{hint}")
    if head.startswith(b"\x93NUMPY"):
        source.refuse(f"is a NumPy array, not {source.what}; dsasim trace import-mask makes a trace of a mask")


def _summary(path: Path) -> str:
    """The comment at the head of a file up to its first empty line, as one line."""
    with path.open(encoding="utf-8") as file:
        lines = takewhile(lambda line: line.startswith("# "), file)
        return " ".join(line.removeprefix("# ").strip() for line in lines)
