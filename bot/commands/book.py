"""What a command is, and the book that holds them all. The help page, the matcher and the tests are made from it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bot.words import fold
from workflow.outcome import Outcome

if TYPE_CHECKING:
    from bot.ask import Ask, Reply

Who = Literal["everyone", "staff", "lead", "asked", "sender", "holder", "head", "team", "coordinator", "official"]


@dataclass(frozen=True, slots=True)
class Command:
    """One word somebody may say."""

    name: str  #: its English id, and the key of its sentences
    word: str  #: what it is called on help page and buttons
    usage: str  #: the words with their parts
    who: Who  #: who sees it; the domain decides
    forms: tuple[str, ...]  #: everything that means it: readings, okurigana, homophones, English
    run: "Callable[[Ask], Outcome | Reply]"
    events: tuple[str, ...]  #: the graph events it causes, as machine.event
    inside: bool = False  #: only web chat, console and pages: it carries content or consent
    preview: bool = False  #: it reaches others: shows who gets what and asks once
    listed: bool = True
    undo: str = ""  #: the words that take it back, {number} {n} filled in; empty: it says that nothing does
    doc: str = ""
    writes: bool = False  #: what stands behind it in a person's own words is kept, and others read it
    heard: tuple[str, ...] = ()  #: those of the forms that are slips of the keyboard: understood, never shown


BOOK: dict[str, Command] = {}
FORMS: dict[str, str] = {}  #: folded form → command name


def command(
    usage: str, who: Who, *, also: str = "", heard: str = "", events: str = "", inside: bool = False, preview: bool = False,
    listed: bool = True, undo: str = "", writes: bool = False,
) -> "Callable[[Callable[[Ask], Outcome | Reply]], Callable[[Ask], Outcome | Reply]]":  # fmt: skip
    """Enter a function into the book. `usage` begins with the word; `also` lists every other form, `heard` homophones."""

    def enter(run: "Callable[[Ask], Outcome | Reply]") -> "Callable[[Ask], Outcome | Reply]":
        word = usage.split()[0]
        name = run.__name__.rstrip("_")
        forms = tuple(dict.fromkeys((word, *also.split(), *heard.split(), name)))
        BOOK[name] = Command(
            name, word, usage, who, forms, run, tuple(events.split()), inside, preview, listed, undo,
            (run.__doc__ or "").strip(), writes, tuple(heard.split()),
        )  # fmt: skip
        for form in forms:
            taken = FORMS.setdefault(fold(form), name)
            if taken != name:
                raise ValueError(f"two commands answer to {form}: {taken} and {name}")
        return run

    return enter


@dataclass(slots=True)
class Shelf:
    """The commands one person sees, for ヘルプ."""

    title: str
    commands: list[Command] = field(default_factory=list)


def shelves(commands: dict[str, Command]) -> list[Shelf]:
    """Group the book by who sees a word, in the order of workflow.md §5."""
    order: dict[str, Shelf] = {}
    for one in commands.values():
        if one.listed:
            order.setdefault(one.who, Shelf(one.who)).commands.append(one)
    return list(order.values())
