"""`oracle_threshold`: those above a value of the exact scores, free of charge: the upper bound."""

from dsasim.methods.oracle_topk import OracleTopK


class OracleThreshold(OracleTopK):
    """Exact scores; selecting them costs nothing either."""

    summary = "those above a value of the exact scores, free of charge"
    selection = "threshold"


METHOD = OracleThreshold
