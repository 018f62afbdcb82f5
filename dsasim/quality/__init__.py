"""What an approximation does to the result, measured against exact attention."""

from dsasim.quality.measure import Quality, QualityFigures, QualityMeter

__all__ = ["Quality", "QualityFigures", "QualityMeter"]
