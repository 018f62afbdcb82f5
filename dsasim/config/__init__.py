"""Designs: the schema of an architecture YAML and its strict loader."""
