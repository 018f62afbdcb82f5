"""Prediction of keep masks: one method a file."""
