"""Energy and area of a design: counts x tables, pure functions."""

from dsasim.cost.model import Cost, estimate_cost

__all__ = ["Cost", "estimate_cost"]
