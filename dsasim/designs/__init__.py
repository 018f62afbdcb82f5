"""Machines: what units a design has, and how it compiles a layer into their jobs; the engine runs these."""

SHARED: frozenset[str] = frozenset()
"""Modules that designs are made of."""
