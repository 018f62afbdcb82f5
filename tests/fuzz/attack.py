"""What is asked of a reader, mutant by mutant: a valid object, or one message and exit status 2; and no waiting."""

import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from dsasim.errors import DsasimError
from fuzz.mutate import mutant

SECONDS_EACH = 20
"""A mutant takes milliseconds; this much is a hang even on a machine that others use."""


@dataclass(frozen=True)
class Reader:
    """A reader and what it is attacked with.

    `seeds` are whole files; `read(path, seed)` reads a mutant of one and raises AssertionError if what it takes is not
    what the file says. `spread` wraps a mutated part in the rest of its file (None: there is no such file).
    `names` must stand in every message.
    """

    name: str
    file: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path, bytes], object]
    text: bool
    names: str = ""
    lines: bool = False
    """Whether a message may list several problems, one a line."""
    repairs: bool = False
    """Whether it makes good what is broken, and refuses nothing."""
    spread: Callable[[bytes], bytes | None] = lambda part: part


@dataclass
class Outcome:
    """How many mutants were taken and refused, and what went wrong with the others."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class HangError(BaseException):
    """A mutant took too long."""


@contextmanager
def bounded(seconds: int) -> Iterator[None]:
    """HangError in the block after so much time."""

    def ring(_number: int, _frame: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attack(reader: Reader, numbers: Iterable[int], folder: Path) -> Outcome:
    """Read the mutants of these numbers, each made from its number alone."""
    outcome, path = Outcome(), folder / reader.file
    _read_seeds(reader, path)
    for number in numbers:
        rng = Random(f"{reader.name} {number}")
        seed = rng.choice(reader.seeds)
        data = reader.spread(mutant(seed, rng, text=reader.text))
        if data is None:
            outcome.counts["no file"] += 1
            continue
        path.write_bytes(data)
        wrong = _wrong(reader, path, seed, outcome)
        if wrong:
            kept = folder / f"{number}-{reader.file}"
            kept.write_bytes(data)
            outcome.failures.append(f"{reader.name} {number} ({kept}): {wrong}")
    return outcome


def _read_seeds(reader: Reader, path: Path) -> None:
    """Each seed once, however long it takes: a first call may have to compile."""
    for seed in reader.seeds:
        path.write_bytes(reader.spread(seed) or b"")
        with suppress(DsasimError):  # some seeds are good for nothing but to be broken further
            reader.read(path, seed)


def _wrong(reader: Reader, path: Path, seed: bytes, outcome: Outcome) -> str:
    """What a reader did that it may not; empty if nothing."""
    try:
        with bounded(SECONDS_EACH):
            reader.read(path, seed)
    except DsasimError as error:
        outcome.counts["refused"] += 1
        return bad_message(error, reader.names or reader.file, lines=reader.lines)
    except HangError:
        return f"took more than {SECONDS_EACH} s"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is the finding
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:200]!a}"
    outcome.counts["accepted"] += 1
    return ""


def bad_message(error: DsasimError, names: str, *, lines: bool) -> str:
    """What is wrong with a refusal; empty if nothing."""
    message = str(error)
    parts = message.split("\n") if lines else [message]
    if error.exit_status != 2:
        return f"exit status {error.exit_status}: {message[:200]!a}"
    if not all(part and part.isprintable() for part in parts):
        return f"not one printable line: {message[:200]!a}"
    return "" if names in message else f"does not name {names}: {message[:200]!a}"
