"""Prediction methods, one a file: what predicting masks computes, and scores or masks."""

SHARED = frozenset({"base", "operation", "integer_path", "quantise", "blocks"})
"""Modules that methods are made of."""
