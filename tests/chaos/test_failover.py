"""Beyond one machine: the drill of deploy/, with little time; and an address that names several machines."""

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deploy.failover import ROOT, NoPrograms, programs
from storage.address import BadAddress, address
from storage.store import Store
from storage.trouble import DatabaseUnavailable
from tests.chaos.conftest import how_many
from tests.databases import KEYS, Databases, quick


@pytest.mark.kill
@pytest.mark.postgres
def test_nothing_acknowledged_goes_with_the_machine_it_was_written_on() -> None:
    """A primary with a synchronous standby, killed under load: deploy/failover.py ends with 0."""
    try:
        programs()
    except NoPrograms as missing:
        pytest.skip(str(missing))
    place = Path(tempfile.mkdtemp(prefix="tsunagi-drill-", dir=quick()))
    try:
        drill = subprocess.run(
            [sys.executable, "deploy/failover.py", "--seconds", f"{how_many(1, 10)}", "--place", str(place)],
            cwd=ROOT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert "nothing acknowledged is missing" in drill.stdout


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ("postgresql://u:p%40w@a:1,b:2/town?target_session_attrs=read-write", ("a:1", "b:2")),
        ("postgresql://u@a,b:6000/town", ("a:5432", "b:6000")),
        ("postgresql://a,b,c/town", ("a:5432", "b:5432", "c:5432")),
        ("postgresql:///town?host=a:1&host=b:2", ("a:1", "b:2")),
    ],
)
def test_an_address_may_name_several_machines(given: str, hosts: tuple[str, ...]) -> None:
    found = address(given)
    assert (found.drivername, found.database, found.query["host"]) == ("postgresql+asyncpg", "town", hosts)
    assert found.username == ("u" if "u" in given.split("@")[0] else None) and found.password in (None, "p@w")
    assert found.query.get("target_session_attrs", "read-write") == "read-write"


@pytest.mark.parametrize("given", ["postgresql://a:b:c/town", "postgresql://a:x,b:1/", "postgresql://u@a:1b/town"])
def test_an_address_that_is_none_is_a_sentence(given: str) -> None:
    with pytest.raises(BadAddress):
        address(given)


@pytest.mark.postgres
async def test_a_machine_that_is_silent_does_not_keep_us_from_the_other(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without power it does not even refuse: its share of the time runs out, and the next one is asked."""
    monkeypatch.setattr("storage.postgres.BUSY_SECONDS", 1)
    found = address(url := databases.postgresql())
    there = f"host={found.query.get('host') or found.host}:{found.port or 5432}"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        who = f"{found.username}:{found.password or ''}@" if found.username else ""
        both = f"postgresql://{who}/{found.database}?host=127.0.0.1:{silent.getsockname()[1]}&{there}"
        for attrs, answers in (("read-write", True), ("standby", False)):
            store = Store(f"{both}&target_session_attrs={attrs}", keys=KEYS)
            if answers:
                await store.read(lambda tx: None)
            else:
                with pytest.raises(DatabaseUnavailable, match="does not answer"):
                    await store.read(lambda tx: None)
            await store.close()
    databases.drop(url)
