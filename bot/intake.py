"""A new case's bare value: its random number, its household with a key of its own. Used by 受付, 再相談 and the form."""

import secrets
from collections.abc import Callable
from datetime import datetime

from storage import cases, texts
from storage.tx import Tx
from workflow import number as numbers
from workflow.case import Case
from workflow.ladder import Urgency


def random_digits() -> int:
    return secrets.randbelow(1_000_000)


#: Where a number's six digits come from; a demonstration town hands in its own, so that it grows the same way every time.
digits: Callable[[], int] = random_digits


def new_case(
    tx: Tx, at: datetime, fresh: Callable[[], int], opened_by: str, agency: str, urgency: Urgency, district: str | None,
    *, household: int | None = None,
) -> Case:  # fmt: skip
    """Make the value that 受付 decides about; nothing but the household's key is written yet."""
    if household is None:
        household = fresh()
        texts.open_household(tx, household)
    return Case(
        id=fresh(), number=_free_number(tx), household=household, stage="intake", urgency=urgency,
        opened_at=at, opened_by=opened_by, opened_agency=agency, district=district,
    )  # fmt: skip


def _free_number(tx: Tx) -> str:
    for _ in range(50):
        number = numbers.make(digits())
        if not cases.taken(tx, number):
            return number
    raise RuntimeError("no free case number in fifty tries")
