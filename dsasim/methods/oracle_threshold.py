"""`oracle_threshold`: those above a value of the exact scores, free of charge: the upper bound."""

from dsasim.predictors.method import Method, Scorer
from dsasim.trace.scores import exact_scorer


class OracleThreshold(Method):
    """Exact scores; selecting them costs nothing either."""

    summary = "those above a value of the exact scores, free of charge"
    scored = True
    selection = "threshold"
    remembers = True

    def scorer(self, head: int) -> Scorer:
        """The model's own scores."""
        return exact_scorer(self.layer, head)


METHOD = OracleThreshold
