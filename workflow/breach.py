"""A breach of personal information (漏えい等): whether it has to be reported, and until when. Pure.

Act on the Protection of Personal Information art. 68 and its Enforcement Rules art. 43–44; the Commission's guidelines for
administrative bodies count days as they come, holidays too. We count the day on which somebody knew as the first: never too late.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

FIRST_SOON: Final = 3  #: days: 速報 「速やかに」, three …
FIRST: Final = 5  #: … to five
FINAL: Final = 30  #: days: 確報
FINAL_MALICIOUS: Final = 60
#: From a public body more persons than these are reported, whatever it was.
PERSONS: Final = 100


@dataclass(frozen=True, slots=True)
class Clocks:
    """The last days of the two reports to the Commission."""

    soon: date  #: the first report had better be there
    first: date
    final: date


def clocks(known: date, *, malicious: bool) -> Clocks:
    """Count from the day on which somebody knew."""

    def last(days: int) -> date:
        return known + timedelta(days=days - 1)

    return Clocks(last(FIRST_SOON), last(FIRST), last(FINAL_MALICIOUS if malicious else FINAL))


def must_report(persons: int, *, sensitive: bool, malicious: bool) -> bool:
    """Say whether the Commission has to hear of it: sensitive items of even one person, somebody's malice, or many persons."""
    return sensitive or malicious or persons > PERSONS
