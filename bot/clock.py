"""The one place that reads the clock. A demonstration's clock is a row: town time then was real time then."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from storage import people
from storage.tx import Tx


def real() -> datetime:
    """Now, on this machine."""
    return datetime.now(UTC)


class Clock:
    """Tells the town's time: the real one, or a demonstration's, which runs at real pace between turns.

    A frozen clock (tests, growing the sample town) stands still until it is turned.
    """

    def __init__(self, frozen: datetime | None = None, machine: Callable[[], datetime] = real) -> None:
        self.frozen = frozen
        self._machine = machine  #: this machine's own clock, which may be wrong
        self.held: datetime | None = None  #: the machine's own moment, where a test holds it
        self._offset = timedelta()
        self._demo: bool | None = None  #: unknown until the row has been looked for

    def now(self, tx: Tx | None = None) -> datetime:
        """Town time; with a transaction a demonstration's row is read, so that all processes agree."""
        if self.frozen is not None:
            return self.frozen
        if tx is not None and self._demo is not False:
            row = people.demo_clock(tx)
            # A database becomes a demonstration when it is made, never later: a real one is asked once.
            self._demo = row is not None
            self._offset = row.town_at - row.real_at if row else timedelta()
        return self._machine() + self._offset

    def here(self) -> datetime:
        """This machine's time, which nobody turns but a test."""
        return self.frozen or self._machine()

    def machine(self) -> datetime:
        """The moment by which people come in and are signed out, whatever a demonstration's clock says."""
        return self.held or self._machine()

    def forget(self) -> None:
        """Look for the row again."""
        self._demo = None
