"""A share, such as a density or sigma, from what a user wrote."""

from decimal import Decimal, InvalidOperation

from dsasim.errors import ConfigError


def parse_share(value: str | Decimal, name: str) -> Decimal:
    """A share, exactly; ConfigError, which calls it `name`, where it is not above 0 and at most 1."""
    try:
        share = Decimal(value)
    except InvalidOperation:
        share = Decimal("NaN")
    if not (share.is_finite() and 0 < share <= 1):
        raise ConfigError(f"{name} {value}: expected a number above 0 and at most 1")
    return share
