"""dsasim: what a dynamic-sparse-attention accelerator costs in cycles, joules and mm², and what it does to the result.

    from dsasim import load_arch, simulate
    result = simulate("dsa-decoupled", "smollm2-l512")
    faster = simulate(load_arch("dsa-decoupled", ["pe_array.lanes=8"]), "smollm2-l512", layers=[13])

The names below are loaded at first use, so that `dsasim --help` imports neither NumPy nor Numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsasim.api import RunResult, estimate_cost, load_arch, load_trace, simulate
    from dsasim.config.schema import ArchConfig
    from dsasim.errors import ConfigError, DeadlockError, DsasimError, InvariantError, TraceError
    from dsasim.report.summary import summary_html as summary_html
    from dsasim.report.summary import summary_text as summary_text
    from dsasim.trace.attention import AttentionTrace
    from dsasim.trace.capture import capture

__version__ = "0.1.0"

__all__ = [
    "ArchConfig",
    "AttentionTrace",
    "ConfigError",
    "DeadlockError",
    "DsasimError",
    "InvariantError",
    "RunResult",
    "TraceError",
    "__version__",
    "capture",
    "estimate_cost",
    "load_arch",
    "load_trace",
    "simulate",
]

_HOMES = {
    "ArchConfig": "dsasim.config.schema",
    "AttentionTrace": "dsasim.trace.attention",
    "ConfigError": "dsasim.errors",
    "DeadlockError": "dsasim.errors",
    "DsasimError": "dsasim.errors",
    "InvariantError": "dsasim.errors",
    "RunResult": "dsasim.api",
    "TraceError": "dsasim.errors",
    "capture": "dsasim.trace.capture",
    "estimate_cost": "dsasim.api",
    "load_arch": "dsasim.api",
    "load_trace": "dsasim.api",
    "simulate": "dsasim.api",
}
_SHOWN = {
    "summary_html": "dsasim.report.summary",
    "summary_text": "dsasim.report.summary",
}
"""How a result shows itself: only the root, which stands above all layers, can hand the API what a report makes."""


def __getattr__(name: str) -> object:
    """A public name, imported from its home at first use (PEP 562)."""
    home = (_HOMES | _SHOWN).get(name)
    if home is None:
        raise AttributeError(f"module 'dsasim' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    """The public names: what `dir` and `help` show."""
    return __all__
