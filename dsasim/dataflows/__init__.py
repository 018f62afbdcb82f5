"""Dataflows, one a file: masks as work of the array and traffic of keys."""

SHARED = frozenset({"base", "plan", "key_blocks"})
"""Modules that dataflows are made of."""
