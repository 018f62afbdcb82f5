"""An operand that will be there: what one job makes and others wait for."""

from simpy import Environment, Event


class Token:
    """Set once; `at` is when, `opened` when the transfer that brings it began (None if none does).

    Called by what it is and, where that does not say it all, `of` what.
    """

    __slots__ = ("_event", "at", "of", "opened", "what")

    def __init__(self, what: str, of: object = None) -> None:
        self.what = what
        self.of = of
        self.at: int | None = None
        self.opened: int | None = None
        self._event: Event | None = None

    @property
    def name(self) -> str:
        """As messages and timelines call it."""
        return self.what if self.of is None else f"{self.what} of {self.of}"

    def set(self, now: int) -> None:
        """The operand is complete."""
        self.at = now
        if self._event is not None:
            self._event.succeed()

    def wait(self, env: Environment) -> Event | None:
        """An event that fires when the token is set; None if it is."""
        if self.at is not None:
            return None
        if self._event is None:
            self._event = env.event()
        return self._event
