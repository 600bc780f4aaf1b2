"""What the `tsunagi` command takes care of: a real town beside the demonstration, files of other programs, secrets, ends of pipes."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bot import operate
from bot import town as towns
from bot.clock import real
from bot.demo.grow import FILE
from bot.settings import Settings
from storage import inbox
from storage.inbox import Arrival
from storage.tx import Tx
from tests.bot.test_cli import Tsunagi, demo, grown, here, one_sentence, rows, tsunagi
from tests.properties.values import the_doc

__all__ = ["demo", "grown", "here", "tsunagi"]  # fixtures

Environment = Callable[..., None]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def real_town(tsunagi: Tsunagi, here: Path, environment: Environment) -> Path:
    """A town that is no demonstration, and a port that is free."""
    environment(DATABASE_URL=f"sqlite:///{here}/town.db", PORT="0")
    tsunagi("migrate")
    shutil.copyfile(FILE, here / "sample.toml")
    assert tsunagi("town", "load", "sample.toml", "--apply")[0] == 0
    return here


# -- the demonstration and what is somebody's own


@pytest.mark.parametrize("argv", [("demo",), ("demo", "--fresh"), ("demo", "--fresh", "--grow-only")], ids=" ".join)
def test_a_real_town_is_never_grown_over(tsunagi: Tsunagi, real_town: Path, argv: tuple[str, ...]) -> None:
    (real_town / "town.db.backup").write_text("kept")
    before, bytes_before = rows(real_town / "town.db"), (real_town / "town.db").read_bytes()
    one_sentence(tsunagi(*argv), 1, "This database is not a demonstration; nothing was touched.")
    assert (real_town / "town.db").read_bytes() == bytes_before and rows(real_town / "town.db") == before
    assert (real_town / "town.db.backup").exists()


@pytest.mark.parametrize("content", ["", "a shopping list, " * 500], ids=["empty", "other"])
def test_a_file_that_is_no_database_is_never_grown_over(tsunagi: Tsunagi, real_town: Path, content: str) -> None:
    (real_town / "town.db").write_text(content)
    one_sentence(tsunagi("demo", "--fresh", "--grow-only"), 1, "not a demonstration")
    assert (real_town / "town.db").read_text() == content


def test_the_sample_town_does_not_grow_in_postgresql(tsunagi: Tsunagi, here: Path, environment: Environment) -> None:
    environment(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", PORT="0")
    one_sentence(tsunagi("demo", "--fresh", "--grow-only"), 1, "sqlite:///")
    assert not list(here.iterdir())


def test_a_demonstration_that_is_there_is_taken_as_it_is(
    tsunagi: Tsunagi, demo: Path, environment: Environment
) -> None:
    environment(DATABASE_URL=f"sqlite:///{demo}/town.db", PORT="0")
    before = rows(demo / "town.db")
    assert tsunagi("demo", "--grow-only")[0] == 0
    assert rows(demo / "town.db") == before


def test_starting_over_leaves_other_files_alone(
    tsunagi: Tsunagi, demo: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short spring: grown again in a day, and a copy that somebody made lies there as before."""
    from bot.demo import grow

    monkeypatch.setattr(grow, "NOW", grow.BEGIN + timedelta(hours=2))
    monkeypatch.setattr(grow.grow, "__kwdefaults__", {**(grow.grow.__kwdefaults__ or {}), "end": grow.NOW})
    environment(DATABASE_URL=f"sqlite:///{demo}/town.db", PORT="0")
    (demo / "town.db.backup").write_text("kept")
    assert tsunagi("demo", "--fresh", "--grow-only")[0] == 0
    assert (demo / "town.db.backup").read_text() == "kept"
    assert tsunagi("clock")[1].startswith("2026-04-01T11:")
    assert not list(demo.glob("*growing*"))


@pytest.mark.parametrize("argv", [("demo",), ("demo", "--fresh"), ("demo", "--fresh", "--grow-only")], ids=" ".join)
def test_while_the_demonstration_runs_it_keeps_its_file(
    tsunagi: Tsunagi, demo: Path, environment: Environment, argv: tuple[str, ...]
) -> None:
    before = rows(demo / "town.db")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environment(DATABASE_URL=f"sqlite:///{demo}/town.db", PORT=port)
        one_sentence(tsunagi(*argv), 1, f"{port} is in use")
    assert rows(demo / "town.db") == before


# -- files of other programs


def test_a_town_file_in_another_encoding(tsunagi: Tsunagi, real_town: Path, environment: Environment) -> None:
    (real_town / "sjis.toml").write_bytes(FILE.read_text("utf-8").replace("〜", "-").encode("cp932", "replace"))
    said = "sjis.toml: 文字コードを UTF-8 にして保存しなおしてください。"
    one_sentence(tsunagi("town", "load", "sjis.toml"), 1, said)
    (real_town / "town.db").unlink()
    environment(DATABASE_URL=f"sqlite:///{real_town}/town.db", PORT="0", TOWN="sjis.toml")
    tsunagi("migrate")
    one_sentence(tsunagi("serve"), 1, said)


def test_a_town_file_that_windows_has_marked(tsunagi: Tsunagi, real_town: Path) -> None:
    (real_town / "marked.toml").write_text(FILE.read_text("utf-8"), encoding="utf-8-sig")
    assert tsunagi("town", "load", "marked.toml")[:2] == (0, "変更はありません。\n")


def test_the_town_is_shown_without_what_holds_anyway(tsunagi: Tsunagi, demo: Path) -> None:
    shown = tsunagi("town", "show")[1]
    assert "marks" not in shown
    assert towns.read(shown, years=range(*the_doc()["municipality"]["years"])) == the_doc()
    own = {**the_doc(), "marks": the_doc()["marks"][:60]}
    assert towns.read(towns.show(own), years=range(*own["municipality"]["years"]))["marks"] == own["marks"]


# -- settings


def test_check_names_what_nothing_reads(tsunagi: Tsunagi, demo: Path, environment: Environment) -> None:
    url = f"sqlite:///{demo}/town.db"
    environment(DATABASE_URL=url, SLACK_BOT_TOKN="xoxb-1", TEST_DATABASE_URL="")
    (demo / ".env").write_text("TSUNAGI_DATABSE_URL=x\nTSUNAGI_PORT=8090\nOTHER=1\n")
    code, out, _err = tsunagi("check")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines() if "not read" in line] == [
        "TSUNAGI_DATABSE_URL", "TSUNAGI_SLACK_BOT_TOKN",
    ]  # fmt: skip
    assert "xoxb" not in out


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_secret_that_can_be_guessed_is_refused(
    tsunagi: Tsunagi, demo: Path, environment: Environment, command: str, host: str
) -> None:
    environment(DATABASE_URL=f"sqlite:///{demo}/town.db", HOST=host, SECRET_KEY="x" * 31)
    one_sentence(tsunagi(command), 1, "TSUNAGI_SECRET_KEY")
    environment(DATABASE_URL=f"sqlite:///{demo}/town.db", HOST=host, SECRET_KEY="x" * 32)
    assert tsunagi("check")[0] == 0


@pytest.mark.parametrize("command", ["check", "serve"])
def test_an_address_that_nobody_can_open_is_refused(
    tsunagi: Tsunagi, demo: Path, environment: Environment, command: str
) -> None:
    environment(DATABASE_URL=f"sqlite:///{demo}/town.db", BASE_URL="tsunagi.example.jp")
    one_sentence(tsunagi(command), 2, "TSUNAGI_BASE_URL: a web address begins with http:// or https://")
    environment(DATABASE_URL=f"sqlite:///{demo}/town.db", BASE_URL="https://tsunagi.example.jp/")
    assert " https://tsunagi.example.jp/signin\n" in tsunagi("invite", "suzuki")[1]


def test_what_a_town_keeps_is_its_owners_alone(tsunagi: Tsunagi, here: Path, environment: Environment) -> None:
    environment(DATABASE_URL=f"sqlite:///{here}/var/town.db")
    before = os.umask(0o022)
    try:
        assert tsunagi("migrate", "--demo")[0] == 0
        assert os.umask(0o022) == 0o022, "the caller's own is as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE((here / "var").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (here / "var").iterdir()} == {0o600}


# -- once more, and enough


def _parked(folder: Path, doc: dict[str, str]) -> str:
    """Set aside an event as the door does when its work has failed; answer its id."""
    settings = Settings(database_url=f"sqlite:///{folder}/town.db", _env_file=None)  # type: ignore[call-arg]

    def park(tx: Tx) -> None:
        arrival = Arrival("web", "event-1", "suzuki", "press", real(), speaker="suzuki", doc=doc)
        inbox.park(tx, 1, arrival, "Boom", None)

    operate.run(settings, lambda app: app.store.transact(park))
    return "1"


def test_a_parked_event_is_tried_again(tsunagi: Tsunagi, demo: Path) -> None:
    id_ = _parked(demo, {"says": "受付 介護"})
    code, out, _err = tsunagi("retry", id_)
    assert code == 0 and f"できごと {id_}" in out
    assert rows(demo / "town.db")["cases"] == 1
    one_sentence(tsunagi("retry", id_), 1, "ありません")


def test_a_parked_event_whose_words_were_not_kept(tsunagi: Tsunagi, demo: Path) -> None:
    id_ = _parked(demo, {})
    one_sentence(tsunagi("retry", id_), 1, "本文が残っていないため、もう一度お願いしてください。")


@pytest.mark.parametrize("argv", [("town", "show"), ("clock",)], ids=" ".join)
def test_who_reads_only_the_beginning_hears_no_complaint(demo: Path, argv: tuple[str, ...]) -> None:
    """`tsunagi town show | head`: the reader is gone before a word is written, be it many or few."""
    read, write = os.pipe()
    os.close(read)
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "",
    }  # as in a shell: written when it is full, or at the end
    ran = subprocess.run(
        [sys.executable, "-m", "bot", *argv], stdout=write, stderr=subprocess.PIPE, env=env, check=False
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")
