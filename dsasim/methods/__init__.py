"""Prediction methods, one a file: where keep masks come from, and what making them costs (`predictors.method`)."""
