"""The `tsunagi` command. Errors are one sentence on stderr: exit 2 for bad usage, 1 for a failed check; never a traceback."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from bot.settings import NoSecretKey, Settings, ShortSecretKey


class Sentence(Exception):
    """What an operator should read; `code` is the exit status."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, where argparse repeats the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    args = _parser().parse_args(argv)
    if not hasattr(args, "run"):
        _parser().print_help()
        sys.exit(2)
    # What a town keeps is its owner's alone: the database, its journal files, the folder they lie in.
    before = os.umask(0o077)
    try:
        code = args.run(args, Settings()) or 0
        sys.stdout.flush()
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read (`| head`) has seen enough; Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Sentence as told:
        _fail(str(told), told.code)
    except Exception as error:
        if (worded := _worded(error)) is None:
            raise
        _fail(str(worded), worded.code)
    finally:
        os.umask(before)


def _fail(text: str, code: int) -> None:
    print(text, file=sys.stderr)
    sys.exit(code)


def _worded(error: Exception) -> Sentence | None:
    """The sentence of an error that a user can do something about; None: a defect, which shows its traceback."""
    from pydantic import ValidationError

    from bot.backup import FileThere, NoKeyFile, NotTheSame, Unsound
    from bot.console import NotSignedIn
    from bot.demo.grow import GrowsInAFile, NotADemonstration
    from bot.disclosing import Erased, Unjudged
    from bot.keys import DoNotOpen, NothingToRetire, StillUnder, TooSoon
    from bot.operate import NobodyNamed, NoDatabase, NoSuchMoment, NoSuchNumber, NothingToRetry, NotSetUp
    from bot.serve import NoAddress
    from bot.town import NotUtf8, TownMistake
    from bot.towns import NoTown
    from bot.turn import NoSuchSpan, NotADemo
    from storage import backup, envelope, migrate, seal, trouble
    from storage.address import BadAddress
    from storage.people import StillHolds

    known = (
        BadAddress, trouble.DatabaseAhead, trouble.DatabaseBehind, trouble.DatabaseReadOnly, trouble.DatabaseUnavailable, TownMistake,
        NotUtf8, NoTown, NotADemo, NotADemonstration, GrowsInAFile, NoAddress, NoDatabase, NoSecretKey, ShortSecretKey, StillHolds,
        seal.BadKeyFile, NotSignedIn, NoSuchNumber, NothingToRetry, NotSetUp,
        DoNotOpen, NothingToRetire, StillUnder, TooSoon, Erased, Unjudged,
        FileThere, NoKeyFile, NotTheSame, Unsound, backup.BackupAhead, backup.DoesNotFit, backup.NotEmpty, backup.TownThere,
        envelope.Damaged, envelope.NotABackup, envelope.OtherKey, migrate.HeldUp,
    )  # fmt: skip
    if isinstance(error, (NobodyNamed, NoSuchMoment, NoSuchSpan)):
        return Sentence(str(error), 2)
    if isinstance(error, known):
        return Sentence(str(error))
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        return Sentence(f"TSUNAGI_{name}: {first['msg'].removeprefix('Value error, ')}", 2)
    if isinstance(error, OSError):
        return Sentence(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    return None


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tsunagi", description="つなぎ: referral and handoff for 重層的支援体制整備事業")
    commands = parser.add_subparsers(metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace, Settings], int | None], help_: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help_, description=help_)
        made.set_defaults(run=run)
        return made

    demo = add("demo", _demo, "grow the sample town if it is not there, and serve it")
    demo.add_argument("--fresh", action="store_true", help="start over")
    demo.add_argument("--grow-only", action="store_true", help="grow it and stop")
    add("serve", _serve, "serve web chat and pages, with the loops")
    work = add("work", _work, "the loops only: run as many as you like against one PostgreSQL")
    work.add_argument("--once", action="store_true", help="ring and send all that is due, then exit")
    migrate = add("migrate", _migrate, "bring the database to this version")
    migrate.add_argument("--demo", action="store_true", help="mark a new database as a demonstration")
    migrate.add_argument("--at", help="where a demonstration's clock starts, e.g. 2026-06-01T09:00")
    add("check", _check, "settings load, database at head, town there, what each platform lacks")
    town = add("town", _town, "load or show the town file")
    town.add_argument("what", choices=("load", "show"))
    town.add_argument("file", nargs="?", type=Path)
    town.add_argument("--apply", action="store_true", help="write it; without this a dry run")
    town.add_argument("--defaults", action="store_true", help="show what holds where the file is silent")
    invite = add("invite", _invite, "a one-time code for a person")
    invite.add_argument("staff")
    invite.add_argument("--paper", action="store_true", help="an 招待状 with a QR code, fourteen days")
    for name, run, help_ in (
        ("chat", _chat, "talk on the console"),
        ("say", _say, "say one thing and read what came back"),
    ):
        made = add(name, run, help_)
        made.add_argument("--as", dest="staff", required=True, metavar="STAFF")
        if name == "say":
            made.add_argument("--format", choices=("text", "json"), default="text")
            made.add_argument("words", nargs="*")
    clock = add("clock", _clock, "show or turn a demonstration's clock")
    clock.add_argument("what", nargs="?", choices=("advance",))
    clock.add_argument("span", nargs="?")
    clock.add_argument("--asleep", action="store_true", help="jump, as after downtime")
    graph = add("graph", _graph, "the three graphs")
    graph.add_argument("--format", choices=("json", "mermaid"), default="json")
    journal = add("journal", _journal, "a case's journal")
    journal.add_argument("case")
    journal.add_argument("--format", choices=("jsonl",), default="jsonl")
    journal.add_argument("--letters", action="store_true", help="then what has become of each letter")
    add("verify", _verify, "check hash chains and promises; exit 1 on a breach")
    retry = add("retry", _retry, "try a parked event or a stuck letter again")
    retry.add_argument("id", type=int)
    backup = add("backup", _backup, "one sealed file of the whole town, tried by restoring it")
    backup.add_argument("file", type=Path)
    backup.add_argument("--force", action="store_true", help="replace a file that is there")
    backup.add_argument("--no-verify", action="store_true", help="do not try it")
    restore = add("restore", _restore, "fill an empty database with a backup, and verify it")
    restore.add_argument("file", type=Path)
    restore.add_argument(
        "--stopped",
        action="store_true",
        help="that town was stopped before its backup: what waited then to be sent is sent now",
    )
    pack = add(
        "disclosure",
        _disclosure,
        "what is disclosed of a household on request, as a file; or the list of what is withheld",
    )
    pack.add_argument("number", help="a case's number; with --open the sealed file")
    pack.add_argument("--out", type=Path, required=True)
    pack.add_argument("--part", choices=("person", "withheld"), default="person")
    pack.add_argument("--sealed", action="store_true", help="sealed with the key file; --open opens it again")
    pack.add_argument("--open", action="store_true", help="open a sealed one")
    key = add("key", _key, "the master key: show it by name, prepare or put on top a new one, retire the older one")
    key.add_argument("what", nargs="?", choices=("show", "prepare", "rotate", "retire"), default="show")
    bench = add("bench", _bench, "measure, engine and reference in the same run")
    bench.add_argument(
        "--name", action="append", help="one measure; several times for several (all of them take an hour)"
    )
    bench.add_argument("--format", choices=("text", "json"), default="text")
    bench.add_argument("--quick", action="store_true", help="small figures, to see that it runs")
    bench.add_argument("--minutes", type=float, default=0.5, help="how long `inbound` lasts (half a minute)")
    return parser


# -- each command: import what it needs, do one thing


def _demo(args: argparse.Namespace, settings: Settings) -> None:
    from bot.demo.grow import grow_if_missing
    from bot.serve import listen

    if args.fresh or not args.grow_only:
        listen(settings).close()  # in use: most likely the demonstration runs, and must keep its file
    settings = grow_if_missing(settings, fresh=args.fresh)
    if not args.grow_only:
        _serve(args, settings)


def _serve(args: argparse.Namespace, settings: Settings) -> None:
    from bot.serve import serve

    serve(settings)


def _work(args: argparse.Namespace, settings: Settings) -> int | None:
    import uvloop

    from bot import app as composition
    from bot.logs import quiet_logs
    from bot.operate import at_head
    from bot.ready import watched

    at_head(settings)
    quiet_logs(settings)

    async def run() -> None:
        app = composition.make(settings)
        try:
            if args.once:
                await app.recounter.run()
                await app.deliverer.recover()
                await app.turner.settle()
                app.beats.start(app)
                await app.beats.finish()
            else:
                composition.settle_down()
                async with watched(app):
                    await composition.work_until_told(app)
        finally:
            await app.close()

    uvloop.run(run())
    return None


def _migrate(args: argparse.Namespace, settings: Settings) -> None:
    from bot.operate import migrate

    print(migrate(settings, demo=args.demo, at=args.at))


def _check(args: argparse.Namespace, settings: Settings) -> None:
    from bot.operate import check

    for line in check(settings):
        print(line)


def _town(args: argparse.Namespace, settings: Settings) -> None:
    from bot.operate import town_load, town_show

    if args.what == "show":
        print(town_show(settings, defaults=args.defaults))
        return
    if args.file is None:
        raise Sentence("Name the town file: tsunagi town load FILE [--apply]", 2)
    for line in town_load(settings, args.file, apply=args.apply):
        print(line)


def _invite(args: argparse.Namespace, settings: Settings) -> None:
    from bot.operate import invite

    print(invite(settings, args.staff, paper=args.paper))


def _say(args: argparse.Namespace, settings: Settings) -> None:
    from bot.console import say

    print(say(settings, args.staff, " ".join(args.words), as_json=args.format == "json"))


def _chat(args: argparse.Namespace, settings: Settings) -> None:
    from bot.console import chat

    chat(settings, args.staff)


def _clock(args: argparse.Namespace, settings: Settings) -> None:
    from bot.operate import clock_advance, clock_show

    if args.what == "advance":
        if not args.span:
            raise Sentence("Say how far: tsunagi clock advance 2d3h", 2)
        print(clock_advance(settings, args.span, asleep=args.asleep))
    else:
        print(clock_show(settings))


def _graph(args: argparse.Namespace, settings: Settings) -> None:
    from bot.graph import as_json, as_mermaid

    print(json.dumps(as_json(), ensure_ascii=False, indent=1) if args.format == "json" else as_mermaid())


def _journal(args: argparse.Namespace, settings: Settings) -> None:
    from bot.operate import journal

    for line in journal(settings, args.case, with_letters=args.letters):
        print(json.dumps(line, ensure_ascii=False))


def _verify(args: argparse.Namespace, settings: Settings) -> int:
    from bot.operate import verify

    sound, lines = verify(settings)
    for line in lines:
        print(line)
    return 0 if sound else 1


def _retry(args: argparse.Namespace, settings: Settings) -> None:
    from bot.operate import retry

    print(retry(settings, args.id))


def _backup(args: argparse.Namespace, settings: Settings) -> None:
    from bot.backup import backup

    for line in backup(settings, args.file, force=args.force, tried=not args.no_verify):
        print(line)


def _restore(args: argparse.Namespace, settings: Settings) -> None:
    from bot.backup import restore

    for line in restore(settings, args.file, stopped=args.stopped):
        print(line)


def _disclosure(args: argparse.Namespace, settings: Settings) -> None:
    from bot.disclosing import to_file, unsealed

    if args.open:
        print(unsealed(settings, Path(args.number), args.out))
    else:
        print(to_file(settings, args.number, args.out, args.part, sealed=args.sealed))


def _key(args: argparse.Namespace, settings: Settings) -> None:
    from bot import keys

    for line in getattr(keys, args.what)(settings):
        print(line, flush=True)


def _bench(args: argparse.Namespace, settings: Settings) -> None:
    from bot.bench import bench

    bench(settings, names=args.name, as_json=args.format == "json", quick=args.quick, minutes=args.minutes)


if __name__ == "__main__":
    main()
