"""`dsasim trace extract`: a model found by name, run once, its attention written as a trace."""

import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch

from dsasim.errors import TraceError
from dsasim.trace.capture.selection import CaptureSelection
from dsasim.trace.capture.session import Capture, CaptureWarning
from dsasim.trace.capture.sources import find_source
from dsasim.trace.store import Dtype

NUM_OUTPUTS = 16


def extract(
    source: str, out: Path, selection: CaptureSelection, tokens: int, text: Path | None, dtype: Dtype
) -> Iterator[str]:
    """Write the trace; yields what was not captured and what is otherwise than in the model, then what was written.

    Layers wait in a folder beside `out`, so memory holds one of them. TraceError: the source cannot be found, loaded or
    run, or nothing in it can be captured.
    """
    found = find_source(source, tokens, text)
    with closing(Capture(found.model, selection, dtype, NUM_OUTPUTS, out.resolve().parent)) as capture:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", CaptureWarning)
            with capture:
                _run(source, found.run)
        capture.save(out, found.provenance)
    yield from (f"not captured: {reason}" for reason in capture.not_captured)
    yield from (f"note: {note}" for note in capture.notes)
    numbers = ", ".join(map(str, dict.fromkeys(layer.number for layer in capture.layers)))
    count = len({layer.sequence for layer in capture.layers})
    yield f"wrote {out}: layers {numbers} of {found.name}{f', {count} sequences' * (count > 1)}"


def _run(source: str, run: object) -> None:
    """Run the model; what it raises of its own accord is the model's failure, told in one line."""
    assert callable(run)
    try:
        run()
    except TraceError:
        raise
    except (Exception, SystemExit) as error:
        reason = str(error).strip().splitlines() or [""]
        raise TraceError(f"{source}: the model failed: {type(error).__name__}: {reason[0]}") from error
