"""The `tsunagi` command when something is wrong: one sentence on stderr, the right exit code, no traceback, nothing changed."""

import json
import os
import shutil
import socket
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot import operate
from bot.__main__ import main
from bot.settings import Settings
from tests.databases import Databases
from tests.properties.values import the_doc

Ran = tuple[int, str, str]  #: exit code, stdout, stderr
Tsunagi = Callable[..., Ran]


@pytest.fixture(scope="module")
def grown(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demonstration database with the sample town, made once."""
    path = tmp_path_factory.mktemp("grown") / "town.db"
    shutil.copyfile(databases.sqlite().removeprefix("sqlite:///"), path)
    settings = Settings(database_url=f"sqlite:///{path}", _env_file=None)  # type: ignore[call-arg]
    operate.migrate(settings, demo=True, at="2026-06-01T09:00")
    operate.put_town(settings, the_doc())
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Callable[..., None]) -> Path:
    """An empty folder without settings."""
    monkeypatch.chdir(tmp_path)
    environment(DATABASE_URL=f"sqlite:///{tmp_path}/town.db")
    return tmp_path


@pytest.fixture
def demo(here: Path, grown: Path) -> Path:
    """A folder with a demonstration."""
    for name in ("town.db", "key"):
        if (grown.parent / name).exists():
            shutil.copyfile(grown.parent / name, here / name)
    os.chmod(here / "key", 0o600)
    return here


@pytest.fixture
def tsunagi(capsys: pytest.CaptureFixture[str]) -> Tsunagi:
    def run(*argv: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(argv)
        shown = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int), f"exit with {code!r}"
        assert "Traceback" not in shown.err + shown.out
        return code or 0, shown.out, shown.err

    return run


def rows(path: Path) -> dict[str, int]:
    """How much is in every table."""
    with sqlite3.connect(path) as found:
        names = [n for (n,) in found.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {n: found.execute(f'SELECT count(*) FROM "{n}"').fetchone()[0] for n in names}


def one_sentence(ran: Ran, code: int, part: str) -> None:
    exit_code, _out, err = ran
    assert exit_code == code, ran
    assert part in err, err
    assert len(err.strip().splitlines()) == 1, err


# -- bad usage: exit 2


@pytest.mark.parametrize(
    "argv",
    [
        ("dance",), ("clock", "stop"), ("clock", "advance", "-3d"), ("graph", "--format", "svg"), ("say", "今日"), ("retry", "abc"), ("retry",), ("journal",), ("invite",),
        ("town",), ("town", "burn"), ("--help-me",), ("verify", "everything"), ("clock", "advance", "1d", "2d"), ("town", "load"), ("clock", "advance"),
        ("chat", "--as", "suzuki", "--format", "json"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_sentence_and_exit_2(tsunagi: Tsunagi, demo: Path, argv: tuple[str, ...]) -> None:
    before = rows(demo / "town.db")
    one_sentence(tsunagi(*argv), 2, "tsunagi")
    assert rows(demo / "town.db") == before


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (("say", "--as", "nobody", "今日"), "nobody"), (("say", "--as", "", "今日"), "「」"), (("invite", "だれか"), "だれか"),
        (("clock", "advance", "soon"), "2d3h"), (("clock", "advance", "2x"), "2d3h"), (("clock", "advance", "9999d"), "2d3h"),
        (("clock", "advance", "99999999999999999999d"), "2d3h"), (("clock", "advance", "2日"), "2d3h"),
        (("migrate", "--demo", "--at", "yesterday"), "2026-06-01T09:00"),
    ],
)  # fmt: skip
def test_words_that_cannot_be_meant_are_one_sentence_and_exit_2(
    tsunagi: Tsunagi, demo: Path, argv: tuple[str, ...], part: str
) -> None:
    before = rows(demo / "town.db")
    one_sentence(tsunagi(*argv), 2, part)
    assert rows(demo / "town.db") == before


def test_a_clock_that_starts_nowhere_makes_no_database(tsunagi: Tsunagi, here: Path) -> None:
    one_sentence(tsunagi("migrate", "--demo", "--at", "yesterday"), 2, "2026-06-01T09:00")
    assert not list(here.iterdir())


def test_without_a_command_the_help_is_shown(tsunagi: Tsunagi, here: Path) -> None:
    code, out, _err = tsunagi()
    assert code == 2 and "verify" in out
    assert tsunagi("--help")[0] == 0


# -- something is not as it should be: exit 1 and a sentence


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (("journal", "999-999-99"), "999-999-99"), (("journal", "ほげ"), "ほげ"), (("town", "load", "nowhere.toml"), "nowhere.toml"),
        (("retry", "99"), "99"),
    ],
)  # fmt: skip
def test_a_users_mistake_is_one_sentence(tsunagi: Tsunagi, demo: Path, argv: tuple[str, ...], part: str) -> None:
    before = rows(demo / "town.db")
    one_sentence(tsunagi(*argv), 1, part)
    assert rows(demo / "town.db") == before


READERS = (
    ("check",), ("verify",), ("say", "--as", "suzuki", "今日"), ("journal", "385-267-52"), ("clock",), ("clock", "advance", "1d"), ("invite", "suzuki"),
    ("work", "--once"), ("retry", "1"), ("town", "load", "sample.toml"), ("serve",), ("chat", "--as", "suzuki"), ("town", "show"),
)  # fmt: skip


@pytest.mark.parametrize("argv", READERS, ids=" ".join)
def test_a_database_that_is_not_there_is_not_made(tsunagi: Tsunagi, here: Path, argv: tuple[str, ...]) -> None:
    shutil.copyfile(Path(operate.__file__).parent / "demo" / "nagare.toml", here / "sample.toml")
    one_sentence(tsunagi(*argv), 1, "There is no database here yet: run `tsunagi migrate`")
    assert [file.name for file in here.iterdir()] == ["sample.toml"]


@pytest.mark.parametrize("argv", READERS, ids=" ".join)
def test_a_database_that_nobody_migrated(tsunagi: Tsunagi, here: Path, argv: tuple[str, ...]) -> None:
    shutil.copyfile(Path(operate.__file__).parent / "demo" / "nagare.toml", here / "sample.toml")
    (here / "town.db").touch()
    one_sentence(tsunagi(*argv), 1, "tsunagi migrate")


@pytest.mark.parametrize("argv", [*READERS, ("migrate",)], ids=" ".join)
def test_a_database_that_a_newer_program_has_touched(tsunagi: Tsunagi, demo: Path, argv: tuple[str, ...]) -> None:
    shutil.copyfile(Path(operate.__file__).parent / "demo" / "nagare.toml", demo / "sample.toml")
    with sqlite3.connect(demo / "town.db") as found:
        found.execute("UPDATE alembic_version SET version_num = '9999'")
    before = rows(demo / "town.db")
    one_sentence(tsunagi(*argv), 1, "9999")
    assert rows(demo / "town.db") == before


@pytest.mark.parametrize("argv", [("say", "--as", "suzuki", "今日"), ("invite", "suzuki"), ("check",)], ids=" ".join)
def test_a_database_without_a_town(tsunagi: Tsunagi, here: Path, argv: tuple[str, ...]) -> None:
    assert tsunagi("migrate")[0] == 0
    one_sentence(tsunagi(*argv), 1, "tsunagi town load")


@pytest.mark.parametrize(
    "url",
    ["mysql://localhost/town", "nonsense", "sqlite://", "postgresql://nobody:x@127.0.0.1:1/none"],
    ids=["kind", "none", "memory", "unreachable"],
)
def test_an_address_that_leads_nowhere(
    tsunagi: Tsunagi, here: Path, environment: Callable[..., None], url: str
) -> None:
    environment(DATABASE_URL=url)
    code, _out, err = tsunagi("check")
    assert code == 1 and len(err.strip().splitlines()) == 1 and err.strip(), err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("LOG_FORMAT", "xml"),
        ("PORT", "99999999"),
        ("BASE_URL", "tsunagi.example.jp"),
        ("BASE_URL", "ftp://a"),
    ],
)
def test_a_setting_that_cannot_be(
    tsunagi: Tsunagi, demo: Path, environment: Callable[..., None], name: str, value: str
) -> None:
    environment(DATABASE_URL=f"sqlite:///{demo}/town.db", **{name: value})
    one_sentence(tsunagi("serve"), 2, f"TSUNAGI_{name}")


def test_a_file_that_is_no_database(tsunagi: Tsunagi, here: Path) -> None:
    (here / "town.db").write_text("this is a shopping list, " * 500)
    code, _out, err = tsunagi("check")
    assert code == 1 and len(err.strip().splitlines()) == 1, err


@pytest.fixture
def nobody(demo: Path) -> Iterator[Path]:
    """A folder that the program may read and not write, even where the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("town.db", "key"):
            shutil.copyfile(demo / name, place / name)
        os.chmod(place / "town.db", 0o444)
        os.chmod(place / "key", 0o600)
        os.chmod(place, 0o555)
        root = os.geteuid() == 0
        if root:
            os.chown(place / "key", 65_534, -1)
            os.seteuid(65_534)
        try:
            yield place
        finally:
            if root:
                os.seteuid(0)
            os.chmod(place, 0o700)


def test_a_database_file_that_may_only_be_read(
    tsunagi: Tsunagi, nobody: Path, environment: Callable[..., None]
) -> None:
    environment(DATABASE_URL=f"sqlite:///{nobody}/town.db")
    code, _out, err = tsunagi("say", "--as", "suzuki", "受付 介護")
    assert code == 1 and len(err.strip().splitlines()) == 1, err


def test_a_key_file_that_is_damaged(tsunagi: Tsunagi, demo: Path) -> None:
    (demo / "key").write_bytes(b"short")
    one_sentence(tsunagi("say", "--as", "suzuki", "今日"), 1, "key")


def test_a_real_database_has_no_clock_to_turn(tsunagi: Tsunagi, here: Path) -> None:
    tsunagi("migrate")
    shutil.copyfile(Path(operate.__file__).parent / "demo" / "nagare.toml", here / "sample.toml")
    assert tsunagi("town", "load", "sample.toml", "--apply")[0] == 0
    one_sentence(tsunagi("clock", "advance", "1d"), 1, "demonstration")
    one_sentence(tsunagi("clock", "advance", "1d", "--asleep"), 1, "demonstration")


def test_the_console_asks_for_a_code_outside_a_demonstration(
    tsunagi: Tsunagi, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    tsunagi("migrate")
    shutil.copyfile(Path(operate.__file__).parent / "demo" / "nagare.toml", here / "sample.toml")
    tsunagi("town", "load", "sample.toml", "--apply")
    monkeypatch.setattr("sys.stdin", io.StringIO("000-000-000\n"))
    one_sentence(tsunagi("say", "--as", "suzuki", "受付 介護"), 1, "invite")
    assert rows(here / "town.db")["cases"] == 0


def test_a_town_file_with_a_mistake_names_its_line(tsunagi: Tsunagi, demo: Path) -> None:
    lines = (Path(operate.__file__).parent / "demo" / "nagare.toml").read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("deputy"))
    lines[at] = 'deputy = "nobody"'
    (demo / "wrong.toml").write_text("\n".join(lines), encoding="utf-8")
    before = rows(demo / "town.db")
    one_sentence(tsunagi("town", "load", "wrong.toml", "--apply"), 1, str(at + 1))
    (demo / "broken.toml").write_text("[municipality\n", encoding="utf-8")
    one_sentence(tsunagi("town", "load", "broken.toml"), 1, "1")
    assert rows(demo / "town.db") == before


def test_loading_a_town_is_a_dry_run_unless_told(tsunagi: Tsunagi, demo: Path) -> None:
    text = (Path(operate.__file__).parent / "demo" / "nagare.toml").read_text(encoding="utf-8")
    (demo / "other.toml").write_text(
        text.replace('name = "相談支援ひばり"', 'name = "相談支援ひばりの家"'), encoding="utf-8"
    )
    code, out, _err = tsunagi("town", "load", "other.toml")
    assert code == 0 and "ひばりの家" in out and "--apply" in out
    code, out, _err = tsunagi("town", "load", "other.toml")
    assert "ひばりの家" in out, "the dry run wrote nothing"
    tsunagi("town", "load", "other.toml", "--apply")
    assert "変更はありません" in tsunagi("town", "load", "other.toml")[1]


def test_a_closure_that_is_loaded_says_how_many_cases_it_moved(tsunagi: Tsunagi, demo: Path) -> None:
    number = json.loads(tsunagi("say", "--as", "suzuki", "--format", "json", "受付", "介護")[1])["case"]
    text = (Path(operate.__file__).parent / "demo" / "nagare.toml").read_text(encoding="utf-8")
    (demo / "closed.toml").write_text(
        text.replace('closed = ["12-29..01-03"]', 'closed = ["12-29..01-03", "2026-06-02"]', 1), encoding="utf-8"
    )
    code, out, _err = tsunagi("town", "load", "closed.toml", "--apply")
    assert code == 0 and "1件の相談の期限を見直しました" in out
    lines = [json.loads(line) for line in tsunagi("journal", number)[1].splitlines()]
    assert (lines[-1]["kind"], lines[-1]["from"][:10], lines[-1]["to"][:10]) == (
        "wait.moved",
        "2026-06-02",
        "2026-06-03",
    )
    assert "former" not in tsunagi("town", "show")[1]


def test_a_port_in_use(tsunagi: Tsunagi, demo: Path, environment: Callable[..., None]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment(DATABASE_URL=f"sqlite:///{demo}/town.db", PORT=str(port))
        one_sentence(tsunagi("serve"), 1, str(port))


def test_a_server_that_others_reach_needs_a_secret(
    tsunagi: Tsunagi, demo: Path, environment: Callable[..., None]
) -> None:
    environment(DATABASE_URL=f"sqlite:///{demo}/town.db", HOST="0.0.0.0")
    one_sentence(tsunagi("serve"), 1, "TSUNAGI_SECRET_KEY")


# -- and when all is well


def test_say_answers_as_promised(tsunagi: Tsunagi, demo: Path) -> None:
    code, out, err = tsunagi("say", "--as", "suzuki", "--format", "json", "受付", "介護")
    said = json.loads(out)
    assert code == 0 and not err and said["refused"] is None
    assert set(said) == {"case", "refused", "answers"}
    assert set(said["answers"][0]) == {"text", "facts", "choices"}
    number = said["case"]
    refused = json.loads(tsunagi("say", "--as", "鈴木", "--format", "json", f"移す {number} ほぐし")[1])
    assert refused["refused"] == "FactsMissing" and refused["case"] == number and refused["answers"][0]["choices"]
    assert json.loads(tsunagi("say", "--as", "suzuki", "--format", "json")[1])["refused"] is None
    lines = [json.loads(line) for line in tsunagi("journal", number)[1].splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert set(lines[0]) == {"seq", "at", "case", "kind", "actor", "surface", "from", "to", "data", "prev", "hash"}
    assert lines[0]["kind"] == "case.open" and lines[0]["actor"] == "suzuki" and lines[0]["surface"] == "console"
    assert lines[0]["at"].endswith("+00:00") and lines[0]["case"] == number


def test_the_clock_of_a_demonstration_turns(tsunagi: Tsunagi, demo: Path) -> None:
    assert tsunagi("clock")[1].startswith("2026-06-01T09:")
    code, out, _err = tsunagi("clock", "advance", "2d3h")
    assert code == 0 and out.startswith("2026-06-03T12:")
    assert tsunagi("clock", "advance", "2bd")[1].startswith("2026-06-05T12:")
    assert tsunagi("clock", "advance", "next-morning", "--asleep")[1].startswith("2026-06-08T08:30")


def test_migrating_twice_changes_nothing(tsunagi: Tsunagi, demo: Path) -> None:
    before = rows(demo / "town.db")
    assert tsunagi("migrate")[0] == 0
    assert rows(demo / "town.db") == before
    assert tsunagi("check")[0] == 0
    assert tsunagi("verify")[0] == 0


def test_the_secret_files_are_the_owners_alone(tsunagi: Tsunagi, demo: Path) -> None:
    (demo / "key").unlink()
    tsunagi("check")
    tsunagi("invite", "suzuki")
    for name in ("key", "secret"):
        assert stat.S_IMODE((demo / name).stat().st_mode) == 0o600, name
