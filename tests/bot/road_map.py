"""What the route table and the pages themselves say: every address, every field, every form. New roads are found by themselves."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from starlette.routing import Route, compile_path

from bot.pages import addresses

#: Names of fields and of parts of an address, as the pages' own modules read them.
FIELDS = re.compile(r"(?:form(?:\(\))?\)?|given)\.get(?:list)?\(\s*\"([\w-]+)\"")
PARTS = re.compile(r"(?:query|query_params\.get|given\.get|came\.get)\(\s*\"([\w-]+)\"")
#: Every field has a name of this kind too, whoever reads it.
USUAL_PARTS = ("q", "room", "who", "lang", "code", "next", "state")


@dataclass(frozen=True)
class Road:
    """One address of the table."""

    path: str
    methods: frozenset[str]
    module: ModuleType

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(FIELDS.findall(_source(self.module))))

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*PARTS.findall(_source(self.module)), *USUAL_PARTS)))

    @property
    def names(self) -> tuple[str, ...]:
        """The path's parameters."""
        return tuple(compile_path(self.path)[2])

    def filled(self, **values: str) -> str:
        return re.sub(r"{(\w+)(?::\w+)?}", lambda found: values[found[1]], self.path)


def _source(module: ModuleType) -> str:
    return inspect.getsource(module)


def roads(method: str = "") -> list[Road]:
    """Every address, or those that take a method."""
    found = [_road(one) for one in addresses() if isinstance(one, Route)]
    return [one for one in found if not method or method in one.methods]


def _road(route: Route) -> Road:
    endpoint: Any = route.endpoint
    handler = inspect.getclosurevars(endpoint).nonlocals.get("handler", endpoint)
    module = inspect.getmodule(handler)
    assert module is not None
    return Road(route.path, frozenset(route.methods or ()), module)


@dataclass(frozen=True)
class Form:
    """One form of a page."""

    action: str
    fields: tuple[tuple[str, str, str], ...]  #: name, kind (hidden, text …), value

    @property
    def kind(self) -> tuple[str, ...]:
        """Two forms of the same kind differ only in whom they are about."""
        acts = tuple(value for name, _, value in self.fields if name in ("do", "step"))
        return (
            re.sub(r"\d{3}-\d{3}-\d{2}|\d+", "0", self.action),
            *acts,
            *sorted({name for name, _, _ in self.fields}),
        )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, str, list[tuple[str, str, str]]]] = []
        self.links: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in has:
            self.links.append(has["href"])
        if tag == "form":
            self.inside = True
            self.forms.append((has.get("action", ""), has.get("method", "get").lower(), []))
        if self.inside and tag in ("input", "textarea", "select", "button") and has.get("name"):
            kind = has.get("type", "text") if tag == "input" else tag
            chosen = kind not in ("checkbox", "radio") or "checked" in has
            if chosen or has["name"] not in {name for name, _, _ in self.forms[-1][2]}:
                self.forms[-1][2].append((has["name"], kind, has.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False


def read(page: str, here: str) -> tuple[list[Form], list[str]]:
    """The forms that post, and the links within this site."""
    reader = _Reader()
    reader.feed(page)
    forms = [Form(action or here, tuple(fields)) for action, method, fields in reader.forms if method == "post"]
    links = [urlsplit(one)._replace(fragment="").geturl() for one in reader.links]
    return forms, [one for one in dict.fromkeys(links) if one.startswith("/") and not one.startswith("//")]


def kind_of(link: str) -> str:
    """Links of one kind lead to pages of one kind: the address of the table, and which wishes it carries."""
    parts = urlsplit(link)
    wishes = ",".join(sorted(re.findall(r"(\w+)=", parts.query)))
    for road in roads("GET"):
        if compile_path(road.path)[0].match(parts.path):
            return f"{road.path}?{wishes}"
    return f"{parts.path}?{wishes}"


def kinds(links: list[str], seen: set[str]) -> Iterator[str]:
    """Links of a kind that was not seen yet."""
    for link in links:
        if (kind := kind_of(link)) not in seen:
            seen.add(kind)
            yield link
