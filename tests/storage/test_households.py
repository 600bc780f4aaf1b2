"""統合 and 分離 whatever comes (I21): who is read together is who standing merges join, and nothing else has changed."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from storage import households, texts
from storage.address import address
from storage.sqlite import sqlite_engine
from storage.tx import Tx
from tests.databases import KEYS, Databases
from tests.storage.small_town import NINE

HOMES = range(1, 6)
DEEDS = st.lists(
    st.tuples(st.sampled_from(("merge", "split")), st.sampled_from(HOMES), st.sampled_from(HOMES)), max_size=12
)


@pytest.fixture(scope="module")
def engine(databases: Databases) -> Iterator[Engine]:
    url = databases.sqlite()
    made = sqlite_engine(address(url))
    yield made
    made.dispose()
    databases.drop(url)


@given(deeds=DEEDS)
def test_who_is_read_together(engine: Engine, deeds: list[tuple[str, int, int]]) -> None:
    with engine.connect() as connection, connection.begin() as whole:
        tx = Tx(connection, "sqlite", KEYS, set())
        for home in HOMES:
            texts.open_household(tx, home)
        standing: dict[int, set[int]] = {}
        for deed, one, other in deeds:
            if deed == "merge":
                apart = one not in _with(other, standing)
                made = households.merge(tx, one, other, "mori", NINE)
                assert (made is not None) is apart
                if made is not None:
                    kept = next(m for m in households.merges(tx, tuple(HOMES)) if m.id == made)
                    standing[made] = {kept.kept, kept.gone}
            elif standing:
                oldest = min(standing)
                assert households.split(tx, oldest, "mori", NINE) and not households.split(tx, oldest, "mori", NINE)
                del standing[oldest]
            for home in HOMES:
                assert set(households.together(tx, home)) == _with(home, standing)
        for id_ in list(standing):
            assert households.split(tx, id_, "mori", NINE)
        assert [households.together(tx, home) for home in HOMES] == [(home,) for home in HOMES]
        whole.rollback()


def _with(home: int, standing: dict[int, set[int]]) -> set[int]:
    """Everybody that merges join with this one."""
    found = {home}
    while more := {h for pair in standing.values() if pair & found for h in pair} - found:
        found |= more
    return found
