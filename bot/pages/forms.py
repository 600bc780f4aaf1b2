"""A form of the household's page: its fields as the templates draw them, and what was filled in as the page reads it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.datastructures import FormData

from bot.pages.frame import Desk, View, nonce
from bot.voice import Voice


@dataclass
class Form:
    """One form: what it does, its fields in their order, and what is wrong with them."""

    do: str
    title: str
    submit: str
    hidden: list[tuple[str, str]] = field(default_factory=list)
    quoted: str = ""  #: what it is about, shown above
    fields: list[View] = field(default_factory=list)
    errors: list[View] = field(default_factory=list)

    def line(self, id: str, label: str, value: str, *, hint: str = "", kind: str = "text", most: int = 200) -> None:
        made = {"id": id, "label": label, "value": value, "hint": hint, "type": kind, "autocomplete": "off"}
        self.fields.append({"kind": "text", "f": made | ({"maxlength": most} if kind == "text" else {})})

    def area(self, id: str, label: str, value: str, *, hint: str = "", rows: int = 4, must: bool = False) -> None:
        made = {"id": id, "label": label, "value": value, "hint": hint, "rows": rows, "need": "must" if must else ""}
        self.fields.append({"kind": "text", "f": made})

    def select(self, id: str, label: str, listed: list[View], *, hint: str = "") -> None:
        self.fields.append({"kind": "select", "f": {"id": id, "label": label, "options": listed, "hint": hint}})

    def radio(self, id: str, legend: str, listed: list[View], *, hint: str = "") -> None:
        made = {"id": id, "legend": legend, "kind": "radio", "options": listed, "hint": hint, "columns": 2}
        self.fields.append({"kind": "tiles", "f": made})

    def check(self, id: str, legend: str, listed: list[View], *, hint: str = "") -> None:
        made = {"id": id, "legend": legend, "kind": "checkbox", "options": listed, "hint": hint, "columns": 2}
        self.fields.append({"kind": "tiles", "f": made})

    def wrong(self, errors: dict[str, str]) -> "Form":
        """Say what is missing, at the field and above."""
        for one in self.fields:
            one["f"]["error"] = errors.get(one["f"]["id"], "")
        self.errors = [{"field": name, "text": text} for name, text in errors.items()]
        return self

    def view(self) -> View:
        hidden = [("do", self.do), ("nonce", nonce()), *self.hidden]
        return {
            "title": self.title, "submit": self.submit, "hidden": hidden, "quoted": self.quoted, "fields": self.fields,
            "errors": self.errors,
        }  # fmt: skip


def option(value: str, label: str, chosen: bool) -> View:
    return {"value": value, "label": label, "chosen": chosen}


def options(voice: Voice, kind: str, codes: Iterable[str], chosen: str, *, none: str = "") -> list[View]:
    """A code list in words; `none` is what choosing nothing is called."""
    first = [option("", none, not chosen)] if none else []
    return first + [option(code, voice.label(kind, code), code == chosen) for code in codes]


def text_of(form: FormData, name: str) -> str:
    """What was written in a field; a browser sends a line's end as two characters and counts it as one."""
    return str(form.get(name, "")).replace("\r\n", "\n").replace("\0", "").strip()


def one_of(form: FormData, name: str, codes: Iterable[str]) -> str:
    """What was chosen; nothing when the form does not offer it."""
    value = str(form.get(name, ""))
    return value if value in {str(code) for code in codes} else ""


def ticked(form: FormData, name: str, codes: Iterable[str]) -> tuple[str, ...]:
    given = {str(value) for value in form.getlist(name)}
    return tuple(code for code in codes if code in given)


def several(found: Desk, label: str, most: int, n: int) -> str:
    """A field that holds more than is kept: nothing is cut unseen."""
    said = found.t("{label}は{most}字までです。いまは{n}字あります")
    return said.format(label=label, most=f"{most:,}", n=f"{n:,}")
