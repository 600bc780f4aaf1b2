"""The house names what was forgotten: a sentence, a label, a docstring, a line in the wrong room."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bot.commands import BOOK
from bot.voice import LANGUAGES, voice_for
from tests.properties.values import the_town
from workflow import refusals
from workflow.ladder import DEFAULTS
from workflow.path import EVENTS, GRAPHS

HOUSE = Path(__file__).parent.parent
ROOMS = ("workflow", "storage", "adapters", "bot")
#: What stands at the top, beside dotfiles.
TOP = {
    "pyproject.toml", "bot", "workflow", "adapters", "storage", "tests", "deploy", "README.md", "CHANGELOG.md", "LICENSE", "CONTRIBUTING.md", "Makefile",
}  # fmt: skip
#: What a checkout grows and .gitignore names.
GROWN = {"var", "dist", "build", ".venv"}
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".html",
    ".css",
    ".js",
    ".svg",
    ".yaml",
    ".yml",
    ".txt",
    ".mako",
    ".service",
    ".example",
    ".cfg",
    ".ini",
    "",
    ".json",
}

both_languages = pytest.mark.parametrize("language", ["ja", "en"])


@cache
def modules() -> dict[Path, str]:
    """Every module of ours by its path from the top."""
    return {p.relative_to(HOUSE): p.read_text("utf-8") for room in ROOMS for p in sorted((HOUSE / room).rglob("*.py"))}


@cache
def kept() -> tuple[Path, ...]:
    """Every file that is or could be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=HOUSE, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    found = [HOUSE / name for name in listed if name] or [
        p for p in HOUSE.rglob("*") if p.is_file() and not GROWN & set(p.relative_to(HOUSE).parts)
    ]
    return tuple(p for p in found if p.is_file())


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(source) for path, source in modules().items()}


def calls(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


# -- every word, notice, wait and refusal has what it needs


@both_languages
@pytest.mark.parametrize("command", list(BOOK.values()), ids=lambda c: c.name)
def test_a_word_has_its_answer_and_its_help(command, language: str) -> None:  # type: ignore[no-untyped-def]
    voice = voice_for(the_town(), language)
    assert voice.has(f"did.{command.name}"), f"no answer: did.{command.name}"
    assert command.doc, f"{command.name} has no docstring for the help page"
    assert command.usage.startswith(command.word) and command.forms[0] == command.word
    for event in command.events:
        graph, _, name = event.partition(".")
        known = EVENTS[graph] if graph in GRAPHS else ("missed", "calm", "worry", "seen")
        assert name in known, f"{command.name} says that it causes {event}"


def test_every_event_of_the_graphs_has_a_word() -> None:
    """I29: a person's event that no command causes cannot be said."""
    caused = {event for command in BOOK.values() for event in command.events}
    for graph, edges in GRAPHS.items():
        for edge in edges:
            if set(edge.actors) & {"clock", "engine"}:
                continue
            assert f"{graph}.{edge.event}" in caused, f"no word causes {graph}.{edge.event}"


def told() -> set[str]:
    """Every notice kind that is told anywhere."""
    found: set[str] = set()
    for path, source in modules().items():
        if path.parts[0] == "workflow" or path.parts[:2] == ("bot", "commands"):
            found |= set(re.findall(r"(?:tell|Notice)\(\s*\"([a-z_]+)\"", source))
    return (
        found
        | {f"{s}_told" for s in ("completed", "failed", "released")}
        | {"talk_wanted", "phone_wanted", "concern_wanted"}
    )


@both_languages
def test_every_notice_has_a_label_for_the_preview(language: str) -> None:
    voice = voice_for(the_town(), language)
    assert not sorted(k for k in told() - {"ring"} if not (voice.has(f"card.{k}.title") and voice.label("notice", k)))


@both_languages
def test_every_wait_has_a_policy_and_a_label(language: str) -> None:
    text = modules()[Path("workflow/promise.py")]
    wanted = set(re.findall(r"Want\(\s*\"([a-z_]+)\"", text)) | {"queue"}
    assert wanted <= set(DEFAULTS), f"no policy: {sorted(wanted - set(DEFAULTS))}"
    labels = LANGUAGES[language][1]["wait"]
    assert not (
        missing := sorted(
            set(DEFAULTS)
            - {k for k in DEFAULTS if k.startswith(("decide_", "checkin_", "first_contact_"))}
            - set(labels)
        )
    ), missing


@both_languages
def test_every_refusal_that_is_raised_is_worded(language: str) -> None:
    named = {
        n
        for n, v in vars(refusals).items()
        if isinstance(v, type) and issubclass(v, refusals.Refusal) and v is not refusals.Refusal
    }
    raised = {n for source in modules().values() for n in re.findall(r"\bno\.([A-Z]\w+)\(", source)}
    assert raised <= named, f"unknown: {raised - named}"
    voice = voice_for(the_town(), language)
    assert not (mute := [n for n in named if not voice.has(f"refusal.{n}")]), mute


# -- manners


def test_only_the_clock_reads_the_clock() -> None:
    """Rule 2: moments are handed in. Sentences about today come from them too."""
    reading = {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "time.time",
        "datetime.datetime.now",
        "time.time_ns",
    }
    found = {(str(path), call) for path, tree in trees().items() for call in calls(tree) if call in reading}
    assert found == {("bot/clock.py", "datetime.now")}


def test_sql_lives_in_storage() -> None:
    allowed = {Path("bot/app.py")}
    for path, tree in trees().items():
        if path.parts[0] != "storage" and path.parts[:2] != ("bot", "bench") and path not in allowed:
            used = {m.split(".")[0] for m in imported(tree)} & {
                "sqlalchemy",
                "alembic",
                "asyncpg",
                "sqlite3",
            }
            assert not used, f"{path} imports {used}"


def test_every_module_says_what_it_is_in_three_lines_at_most() -> None:
    for path, tree in trees().items():
        said = ast.get_docstring(tree)
        if path.name == "__init__.py" and not tree.body:
            continue
        assert said, f"{path} has no docstring"
        first = said.split("\n\n")[0]
        assert len(first.splitlines()) <= 3, f"{path}: the first paragraph is long"


def test_no_room_is_called_after_nothing() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "common", "models", "services", "types", "managers", "misc"}
    assert not [p for p in modules() if {p.stem, *p.parts[:-1]} & forbidden]


def test_a_silenced_check_says_which_and_adapters_know_nothing() -> None:
    for path, source in modules().items():
        for number, line in enumerate(source.splitlines(), start=1):
            assert not re.search(r"# type: ignore(?!\[)", line), f"{path}:{number}: which one?"
            assert not re.search(r"# noqa(?!:)", line), f"{path}:{number}: which one?"
        if path.parts[0] == "adapters":
            assert not {m.split(".")[0] for m in imported(trees()[path])} & {"workflow", "storage", "bot"}, path


def test_nobody_swallows_an_error() -> None:
    """Rule 6: nothing is swallowed."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                empty = all(isinstance(n, ast.Pass) for n in node.body)
                broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
                assert not (empty and broad), f"{path}:{node.lineno} swallows everything"


def test_japanese_sentences_live_in_the_voice() -> None:
    """A sentence is what ends in 。 inside a string; commands and domain speak through keys."""
    for path, tree in trees().items():
        if path.parts[0] not in ("workflow", "storage", "adapters"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and not isinstance(node.value, bytes):
                assert not re.search(r"[ぁ-ん]{2}。$", node.value.strip()), f"{path}:{node.lineno}: {node.value}"


# -- need to know

#: What a list, a board or a count of cases answers with.
OF_CASES = ("CaseRow", "StageColumn", "Stake", "Household", "HeldBy", "Loads", "OpenWait", "Exceptions", "AtOnce")
#: Which modules of the application look at everything: the engine's own, never what a person asks for.
ENGINE = {"bot/audit.py", "bot/deliver.py", "bot/demo/grow.py"}


def test_no_list_of_cases_is_read_without_a_sight() -> None:
    """What a page, a command, an export or a count asks of storage it asks through somebody's eyes (I10)."""
    asked: set[str] = set()
    for path in (Path("storage/cases.py"), Path("storage/closings.py")):
        for node in trees()[path].body:
            answers = ast.unparse(node.returns) if isinstance(node, ast.FunctionDef) and node.returns else ""
            if (
                isinstance(node, ast.FunctionDef)
                and not node.name.startswith("_")
                and any(n in answers for n in OF_CASES)
            ):
                eyes = [
                    a.arg for a in node.args.args if a.annotation and ast.unparse(a.annotation) in ("Eyes", "Sight")
                ]
                assert node.args.args[1].arg in eyes, f"{path}: {node.name} has no eyes"
                assert len(node.args.args) - len(node.args.defaults) >= 2, f"{path}: {node.name} may forget them"
                asked.add(node.name)
    assert {"board", "refs", "of_staff", "loads", "open_waits", "exceptions", "of_household", "find_numbers"} <= asked
    for path, tree in trees().items():
        if path.parts[0] == "bot" and path.parts[1] != "bench" and str(path) not in ENGINE:
            named = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | set(_names_imported(tree))
            assert "EVERYTHING" not in named and "All" not in named, f"{path} looks at everything"


def _names_imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (a.name for a in node.names)


# -- the repository


def test_the_top_holds_the_rooms_and_what_every_repository_has() -> None:
    found = {p.relative_to(HOUSE).parts[0] for p in kept()}
    assert {n for n in found if not n.startswith(".")} <= TOP, found - TOP
    assert not {p.name for p in kept()} & {"uv.lock", "pylock.toml", "alembic.ini", ".env"}
    assert (HOUSE / "CHANGELOG.md").read_text("utf-8").startswith("# ")


#: Put together here, so that this file does not find itself.
PLACES = re.compile(
    "|".join(
        (
            "/home" + "/[a-z]",
            "/Use" + "rs/[A-Z]",
            "/ro" + "ot/",
            "/work" + "/",
            "index-" + "url http",
            "pypi" + r"\.[a-z]+\.[a-z]+/simple",
        )
    )
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    for path in kept():
        if path.suffix not in TEXT:
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
            assert not PLACES.search(line), f"{path.relative_to(HOUSE)}:{number}: {line.strip()[:120]}"


def test_the_locks_have_hashes_and_no_addresses() -> None:
    for name in ("run", "test"):
        lock = (HOUSE / "deploy" / "lock" / f"{name}.txt").read_text("utf-8")
        assert "--hash=sha256:" in lock and "://" not in lock
        # One line a package, or one for each side of a marker (python_full_version, sys_platform).
        pinned = re.findall(r"^[a-zA-Z0-9_.-]+==[^ ]+(?: ; .*)?", lock, re.M)
        assert len(pinned) == len(set(pinned)) > 20


def test_the_lock_of_the_servers_has_hashes_and_no_addresses() -> None:
    found = json.loads((HOUSE / "tests" / "servers" / "package-lock.json").read_text("utf-8"))["packages"]
    wanted = found.pop("")["dependencies"]
    assert len(found) > 20 and all(p["integrity"].startswith("sha512-") and "resolved" not in p for p in found.values())
    assert wanted == {name: found[f"node_modules/{name}"]["version"] for name in wanted}


def test_every_setting_stands_in_the_example() -> None:
    from bot.settings import Settings

    example = (HOUSE / "deploy" / "tsunagi.env.example").read_text("utf-8")
    assert not (missing := [n for n in Settings.model_fields if f"TSUNAGI_{n.upper()}" not in example]), missing


#: What a town has to survive, by the number that a test of it names in its docstring: "(fault 17)".
FAULTS = {
    1: "killed after the commit, before anything left",
    2: "killed after the platform took it, before we wrote that down",
    3: "the platform took it and its answer was lost",
    4: "nobody listened: it surely did not leave",
    5: "Slack posts one event four times",
    7: "Telegram repeats an update that we were killed over",
    8: "LINE delivers again, and in another order",
    9: "two people accept within a millisecond",
    10: "one person presses twice, or on two devices",
    11: "an acceptance races the expiry",
    12: "a button of before somebody else took it",
    13: "a button of an earlier release",
    14: "a post that cannot prove where it comes from",
    15: "two processes at the same work",
    17: "hours of silence, then everything is late",
    18: "what was late and done while we were away",
    19: "one case that cannot be rendered or scheduled",
    20: "a schedule that cannot be kept or never rings",
    21: "an hour that the clock skips in spring",
    23: "nine o'clock stays nine o'clock across the change",
    24: "somebody's time zone changes",
    25: "a zone gets another name, or none",
    27: "a holiday inside two working days, or added later",
    28: "quiet hours begin while something waits for its turn",
    29: "a platform asks for a pause in one conversation",
    30: "three hundred letters for one conversation at once",
    31: "the month's messages are used up",
    32: "a group gets another id",
    33: "blocked, archived, revoked",
    35: "changes of a card arrive out of order, or the card is gone",
    37: "what a case stands on leaves the town file",
    39: "the database is locked, restarted or full in the middle",
    40: "the loops are dead and the process answers",
}


@cache
def told_by_tests() -> str:
    """The docstrings of all tests."""
    found = []
    for path in sorted((HOUSE / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.append(ast.get_docstring(node) or "")
    return "\n".join(found)


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: f"{number}: {FAULTS[number]}")
def test_every_fault_to_survive_has_a_test(number: int) -> None:
    assert f"(fault {number})" in told_by_tests(), f"no test names (fault {number}): {FAULTS[number]}"
