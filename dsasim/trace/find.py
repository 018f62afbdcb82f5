"""Where a trace is: a file, or the name of one that is shipped with dsasim."""

import difflib
import os
from pathlib import Path

from dsasim.errors import TraceError
from dsasim.inputs.printable import printable, unprintable

SUFFIX = ".safetensors"
PACKAGE = Path(__file__).resolve().parent.parent


def find_trace(name_or_path: str | Path) -> Path:
    """A separator or a suffix makes it a file, there or not; anything else is a shipped name, found from any folder.

    TraceError names the nearest shipped trace, or says that a design was given.
    """
    text = os.fspath(name_or_path)
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        raise TraceError(f"{printable(text)}: a YAML design where a trace ({SUFFIX}) belongs")
    if path.suffix or os.sep in text or (os.altsep and os.altsep in text):
        return path
    shipped = shipped_traces()
    if text not in shipped:
        near = difflib.get_close_matches(text, shipped, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"shipped are {', '.join(shipped) or 'none'}"
        raise TraceError(f"{text!r}: no shipped trace of this name; {hint} (a file is given with its suffix or folder)")
    return shipped[text]


def trace_name(path: Path) -> str:
    """What a trace in this file is called in results: the file's name without its suffix.

    TraceError where that cannot be printed, or written as UTF-8: then no result could be either.
    """
    if found := unprintable(path.stem):
        raise TraceError(
            f"{printable(path)}: a trace is called by its file, whose name holds '{found}': rename the file"
        )
    return path.stem


def shipped_traces() -> dict[str, Path]:
    """Shipped traces by name, sorted: in the installed package, or beside it in a checkout."""
    folders = (PACKAGE / "traces", PACKAGE.parent / "traces")
    folder = next((candidate for candidate in folders if candidate.is_dir()), folders[0])
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}
