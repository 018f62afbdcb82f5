"""Selectors, one a file: masks from scores, and what selecting each row takes."""

SHARED = frozenset({"base", "merge_unit", "softmax"})
"""Modules that selectors are made of."""
