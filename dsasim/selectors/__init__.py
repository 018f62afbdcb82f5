"""Selectors, one a file: masks from scores, and what selecting each row takes (`predictors.selector`)."""
