"""`dsasim validate`: does each step of a run give what PyTorch gives? One check a file, each returns `Check`s."""

from dsasim.validate.check import Check, CheckTable

__all__ = ["Check", "CheckTable"]
