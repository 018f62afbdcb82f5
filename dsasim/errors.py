"""Everything dsasim raises on purpose.

    DsasimError
    ├── ConfigError      a design (YAML, --set) that cannot be built or does not fit the trace   exit 2
    ├── TraceError       a trace, mask or result file that cannot be read or used                exit 2
    ├── DesignError      a machine, written as a program, that breaks a rule of the engine       exit 1
    ├── DeadlockError    a machine whose units all wait for each other                           exit 1
    └── InvariantError   a run whose own numbers contradict each other                           exit 1

A message says what is wrong, where (file, line, key) and what would be right.
"""

from dsasim.inputs.printable import printable


class DsasimError(Exception):
    """Base of every error that dsasim raises on purpose; `exit_status` is what the command returns.

    Each problem is one line of the message, whatever it quotes: a newline in a name of a file is shown as its escape.
    """

    exit_status = 1

    def __init__(self, *problems: str) -> None:
        super().__init__(*map(printable, problems))

    def __str__(self) -> str:
        return "\n".join(self.args)


class ConfigError(DsasimError):
    """A design that cannot be built, or that a trace does not fit."""

    exit_status = 2


class TraceError(DsasimError):
    """A trace, mask or result file that cannot be read or used."""

    exit_status = 2


class DesignError(DsasimError):
    """A machine program that breaks a rule of the engine: two takers of one buffer, a job of no cycles."""


class DeadlockError(DsasimError):
    """No unit can proceed; the message lists what each one waits for."""


class InvariantError(DsasimError):
    """A finished run broke a law it must obey (conservation, bounds): a bug in dsasim."""
