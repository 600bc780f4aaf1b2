"""A fresh database of each kind, and a small town in it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from storage.store import Store
from tests.databases import KEYS, Databases
from tests.storage.small_town import settle_town


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    made = databases.sqlite() if request.param == "sqlite" else databases.postgresql()
    yield made
    databases.drop(made)


@pytest.fixture
async def empty(url: str) -> AsyncIterator[Store]:
    """A migrated database without a town."""
    store = Store(url, keys=KEYS)
    yield store
    await store.close()


@pytest.fixture
async def store(empty: Store) -> Store:
    await empty.transact(settle_town)
    return empty
