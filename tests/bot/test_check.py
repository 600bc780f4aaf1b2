"""`tsunagi check` says what each chat platform lacks, where to enter its hook, and who is there; nothing is called."""

import socket
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from adapters.line import Line
from bot import operate
from bot.__main__ import main
from bot.clock import real
from bot.operate import NotSetUp, check
from bot.pages import routes
from bot.settings import Settings
from storage import figures, people
from storage.tx import Tx
from tests.bot.test_cli import demo, grown, here, tsunagi
from tests.town import Town

__all__ = ["demo", "grown", "here", "tsunagi"]  # fixtures

Environment = Callable[..., None]

SLACK = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "s3cr3t-of-slack"}
TELEGRAM = {"TELEGRAM_BOT_TOKEN": "123:abc", "TELEGRAM_SECRET_TOKEN": "s3cr3t-of-telegram"}
LINE = {"LINE_CHANNEL_ACCESS_TOKEN": "t0ken-of-line", "LINE_CHANNEL_SECRET": "s3cr3t-of-line"}
MAIL = {"SMTP_URL": "smtp://clerk:p4ss@mail.example.jp:587", "MAIL_FROM": "tsunagi@example.jp"}
HERE = {"BASE_URL": "https://tsunagi.example.jp"}


@pytest.fixture
def said(
    demo: Path, environment: Environment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, dict[str, list[str]], str]]:
    """Run `tsunagi check` with these variables, without a network: exit code, lines by their beginning, stderr."""

    def nowhere(*_: object, **__: object) -> None:
        raise AssertionError("check called somebody")

    def run(**values: str) -> tuple[int, dict[str, list[str]], str]:
        environment(DATABASE_URL=f"sqlite:///{demo}/town.db", **values)
        with monkeypatch.context() as alone:
            alone.setattr(socket.socket, "connect", nowhere)
            with pytest.raises(SystemExit) as ended:
                main(["check"])
        shown = capsys.readouterr()
        for secret in [v for v in values.values() if v.startswith(("s3cr3t", "t0ken", "xoxb", "smtp"))] + ["p4ss"]:
            assert secret not in shown.out + shown.err
        lines: dict[str, list[str]] = {}
        for line in shown.out.splitlines():
            name, _, rest = line.partition(": ")
            lines.setdefault(name, []).append(rest)
        assert isinstance(ended.value.code, int)
        return ended.value.code, lines, shown.err

    return run


Said = Callable[..., tuple[int, dict[str, list[str]], str]]


def test_a_town_with_every_platform_is_told_what_to_enter_where(said: Said) -> None:
    code, lines, err = said(**SLACK, **TELEGRAM, **LINE, **MAIL, **HERE)
    assert (code, err) == (0, "")
    for name in ("slack", "telegram", "line"):
        assert f"HTTP hooks at https://tsunagi.example.jp/hooks/{name}" in lines[name][0], lines
        assert "from the internet" in lines[name][0] and lines[name][0].endswith("0 people linked")
    assert lines["mail"] == ["ready (sends only); 47 people with an address"]


def test_what_a_platform_lacks_is_named_and_the_exit_code_is_1(said: Said) -> None:
    code, lines, err = said(
        SLACK_BOT_TOKEN="xoxb-1", LINE_CHANNEL_SECRET="s3cr3t", TELEGRAM_BOT_TOKEN="nonsense", **HERE
    )
    assert code == 1 and err.strip() == "Not everything is set up: slack, telegram, line."
    assert "TSUNAGI_SLACK_SIGNING_SECRET" in lines["slack"][0] and lines["slack"][0].startswith("missing ")
    assert "TSUNAGI_LINE_CHANNEL_ACCESS_TOKEN" in lines["line"][0]
    assert "TSUNAGI_TELEGRAM_BOT_TOKEN" in lines["telegram"][0]


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1"}, "slack: ready (Socket Mode)"),
        ({"TELEGRAM_BOT_TOKEN": "123:abc"}, "telegram: ready (polling)"),
    ],
)
def test_without_a_public_address_there_is_another_way(said: Said, given: dict[str, str], way: str) -> None:
    code, lines, _err = said(BASE_URL="http://10.0.0.4:8080", **given)
    name, _, rest = way.partition(": ")
    assert code == 0 and lines[name] == [f"{rest}; 0 people linked"]


def test_hooks_come_to_https_alone(said: Said) -> None:
    code, lines, _err = said(BASE_URL="http://tsunagi.example.jp", **LINE)
    assert code == 1
    assert lines["line"] == ["missing TSUNAGI_BASE_URL: hooks need an https:// address, not http://tsunagi.example.jp"]
    assert said(BASE_URL="http://127.0.0.1:8080", LINE_API_URL="http://127.0.0.1:9", **LINE)[0] == 0


def test_links_have_to_lead_somewhere(said: Said) -> None:
    code, lines, _err = said(**MAIL)
    assert code == 1 and [line.partition(":")[0] for line in lines["mail"]] == ["missing TSUNAGI_BASE_URL"]


def test_half_a_platform_is_no_platform(said: Said) -> None:
    code, lines, _err = said(MAIL_FROM="tsunagi@example.jp", **HERE)
    assert code == 1 and lines["mail"][0] == "missing TSUNAGI_SMTP_URL"


def test_agencies_whose_platforms_are_not_there_are_named(said: Said) -> None:
    code, lines, _err = said(**MAIL, **HERE)
    assert code == 0
    assert lines["line"] == ["not set up, though allowed for yadorigi, minsei-kita, minsei-minami"]
    assert "slack" not in lines and lines["mail"][0].startswith("ready")
    assert "not read by this version" not in lines


def test_those_who_are_linked_are_counted(said: Said, demo: Path) -> None:
    def link(tx: Tx) -> None:
        for staff, account in (("ishii", "U1"), ("suzuki", "U2"), ("suzuki", "U3")):
            people.link(tx, "line", account, staff, real())

    settings = Settings(database_url=f"sqlite:///{demo}/town.db", _env_file=None)  # type: ignore[call-arg]
    operate.run(settings, lambda app: app.store.transact(link))
    assert said(**LINE, **HERE)[1]["line"][0].endswith("; 2 people linked")


def test_all_lines_are_said_before_the_sentence(demo: Path) -> None:
    url = f"sqlite:///{demo}/town.db"
    settings = Settings(database_url=url, mail_from="x@example.jp", _env_file=None)  # type: ignore[call-arg]
    lines: list[str] = []
    with pytest.raises(NotSetUp, match="mail"):
        for line in check(settings):
            lines.append(line)
    assert lines[-1].startswith("mail: not set up") and lines[3] == "mail: missing TSUNAGI_SMTP_URL"


async def test_a_database_that_takes_changes_says_so(town: Town) -> None:
    """On both databases: /readyz asks it."""
    assert await town.app.store.transact(figures.takes_changes) is True


async def test_figures_show_platforms_that_are_set_up_and_what_failed(lite: Town) -> None:
    """Zeros too, so that a first failure is a change; a platform that lacks settings is marked and keeps /readyz as it is."""
    lite.app.deliverer.adapters["line"] = Line("", "s3cr3t")
    await lite.intake()
    await lite.app.turner.settle()

    def fail(tx: Tx) -> None:
        tx.connection.exec_driver_sql(
            "UPDATE letters SET state = 'failed', sent_at = NULL, surface = 'line' WHERE id = (SELECT max(id) FROM letters)"
        )

    await lite.app.store.transact(fail)
    transport = httpx2.ASGITransport(app=routes(lite.app))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as browser:
        figures_ = (await browser.get("/metrics")).text
        platforms = (await browser.get("/readyz")).json()["platforms"]
    assert 'tsunagi_letters_lately{outcome="failed",platform="line"} 1.0' in figures_
    assert 'tsunagi_letters_lately{outcome="unknown",platform="line"} 0.0' in figures_
    assert platforms["line"]["lacks"] is True and platforms["line"]["last"] == "failed"
    assert "lacks" not in (platforms["web"] or {})
