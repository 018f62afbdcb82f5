"""What of a model is run beside attention."""

from typing import Literal

Scope = Literal["attention", "layer", "model"]
"""Attention alone; with its layers' projections and feed-forward part; all layers that the trace holds."""
