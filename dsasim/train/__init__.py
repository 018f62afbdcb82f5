"""Fitting the prediction path to a model's attention."""
