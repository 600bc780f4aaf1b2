"""The ways in beside a one-time code: passkeys, six digits by letter, an authenticator app, a town's own provider; wrong tries."""

from typing import Final

#: Why somebody was not let in; the journal's words.
WRONG: Final = "wrong"
USED: Final = "used"
OLD: Final = "old"
UNKNOWN: Final = "unknown"
PAUSED: Final = "paused"  #: wrong, and the next try has to wait
NOISE: Final = "noise"  #: no answer to anything that we have asked: nobody's, and no line of the journal
AWAY: Final = "away"  #: what lies elsewhere does not answer


class NotIn(Exception):
    """What was brought opens nothing."""

    def __init__(self, why: str, staff: str | None = None) -> None:
        self.why, self.staff = why, staff
        super().__init__(why)
