"""Dataflows, one a file: masks as work of the array and traffic of keys (`dataflow.base`)."""
