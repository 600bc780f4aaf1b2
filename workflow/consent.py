"""同意 of one person: who gave it, of what, to whom, until when; and why it is missing. It is judged at the read. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from workflow.case import Case, Value

#: What is written about a household: what a consent names, and what a reader's right is about.
KINDS: Final = ("story", "contact", "fact", "opinion", "hearsay", "health", "money", "safety")
GIVERS: Final = ("person", "legal", "family")  # 本人 法定代理人 家族
FORMS: Final = ("written", "oral", "electronic")  # 書面 口頭 電子
PURPOSES: Final = ("support", "plan", "participation", "transfer")
#: 同意なし: why (domain.md §2.2) → what the case's own word for it is.
MISSING: Final = {"not_met": "pending", "declined": "refused", "cannot_judge": "pending", "unsafe": "not_sought"}
KNOWN: Final = ("person", "family", "agency", "resident", "visit", "other")


@dataclass(frozen=True)
class Agreement(Value):
    """同意: a person lets what is written about them be shared. A row is never changed but by its withdrawal."""

    id: int
    person: int
    case: int
    who_gave: str  #: one of GIVERS
    scope: tuple[str, ...]  #: of KINDS
    agencies: tuple[str, ...] | None  #: None: every agency of the town
    purpose: str
    start: datetime
    until: datetime | None  #: from then on it no longer holds
    form: str
    explainer: str
    language: str
    by: str
    at: datetime
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None

    def holds(self, at: datetime) -> bool:
        return self.withdrawn_at is None and self.start <= at and (self.until is None or at < self.until)

    def covers(self, agency: str, kind: str, at: datetime) -> bool:
        return self.holds(at) and kind in self.scope and (self.agencies is None or agency in self.agencies)


class Missing(NamedTuple):
    """同意なし: why there is none, how we know of the person, and whether a 支援会議 was asked for."""

    id: int
    person: int
    case: int
    why: str  #: of MISSING
    known: str  #: of KNOWN
    conference: bool
    by: str
    at: datetime


def case_covers(case: Case, agency: str) -> bool:
    """What the case's own 同意 says: no person's agreement reaches further, so that the word alone cuts at once (I9)."""
    said = case.consent
    return said is not None and (said.state == "full" or (said.state == "partial" and agency in said.agencies))


def said_by_giving(case: Case, given: Agreement) -> str:
    """What the word 同意 says of the case once somebody has agreed: it only adds. Empty: the case says as much already."""
    if given.agencies is None:
        return "" if case.consent and case.consent.state == "full" else "あり"
    before = case.consent.agencies if case.consent and case.consent.state == "partial" else ()
    if all(case_covers(case, agency) for agency in given.agencies):
        return ""
    return " ".join(("あり", *dict.fromkeys((*before, *given.agencies))))


def said_by_withdrawing(
    case: Case, was: Agreement, others: Iterable[Agreement], agencies: Iterable[str], at: datetime, *, only: str = ""
) -> str:
    """What it says once an agreement has been withdrawn (`only`: for one agency): whom nobody else lets in loses what rests on it.

    `others`: what still holds, of everybody. `agencies`: all of the town. Empty: the case loses nobody.
    """
    every = tuple(agencies)
    left = [a for a in others if a.holds(at)]
    held = {code for a in left for code in (every if a.agencies is None else a.agencies)}
    named = (only,) if only else every if was.agencies is None else was.agencies
    lost = [code for code in named if code not in held and case_covers(case, code)]
    if not lost:
        return ""
    rest = [code for code in every if case_covers(case, code) and code not in lost]
    return " ".join(("撤回", *lost)) if rest else "撤回"


#: A 同意なし says its word of the case only where nobody's consent stands: somebody else's is not taken back by it.
_NONE: Final = {"refused": "なし", "pending": "未", "not_sought": "聞かない"}


def said_by_missing(case: Case, why: str) -> str:
    """What it says once it is written down why a person has not agreed. Empty: nothing new."""
    state = MISSING[why]
    if case.consent and case.consent.state in ("full", "partial", "withdrawn", state):
        return ""
    return _NONE[state]


def without(agreement: Agreement, agency: str, agencies: Iterable[str]) -> tuple[str, ...]:
    """Whom an agreement still lets in when one agency is taken out of it."""
    named = tuple(agencies) if agreement.agencies is None else agreement.agencies
    return tuple(code for code in named if code != agency)
