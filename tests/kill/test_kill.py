"""Killed anywhere, nothing is lost: every stop-point of every door, on both databases (platforms.md §9, rows 1, 2 and 7).

In CI every COMMIT and every answer of a platform, and one in twelve of the other boundaries; `make kill` tries them all.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.databases import Databases, quick
from tests.kill.conftest import peopled
from tests.kill.journeys import JOURNEYS
from tests.kill.report import PROPERTY, WHOLE
from tests.kill.sweep import Job, Report

pytestmark = pytest.mark.kill

#: PostgreSQL costs twice as much, and its doors are the same.
ON_POSTGRESQL = ("danger", "copies")
SWEEPS = [
    (database, journey.name)
    for journey in JOURNEYS
    for database in ("sqlite", "postgresql")
    if WHOLE or database == "sqlite" or journey.name in ON_POSTGRESQL
]


@pytest.mark.parametrize(("database", "journey"), SWEEPS)
def test_killed_anywhere_nothing_is_lost(
    database: str,
    journey: str,
    databases: Databases,
    sweep: Callable[[Job], Report],
    record_property: Callable[[str, Any], None],
) -> None:
    """(fault 1) (fault 2) (fault 7) The same state, no letter missing, none doubled, but for those that are marked `unknown`."""
    url: str = getattr(databases, database)(peopled)
    report = sweep(Job(url, journey, quick()) if WHOLE else Job(url, journey, quick(), every=12, ends=40, brief=True))
    databases.drop(url)
    record_property(PROPERTY, vars(report) | {"names": report.kinds})
    assert not report.wrong, "\n".join(report.wrong[:20])
    assert report.kills
