"""Where each entry of a TOML text stands: the standard parser tells for broken TOML only, a clerk needs it for facts.

The text is known to be valid TOML, so this only walks over it and looks at nothing twice.
"""

import re
import tomllib
from collections.abc import Mapping

Path = tuple[str | int, ...]

_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}' r"|'''(?:[^']|'(?!''))*'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}#\n]+")


def places(text: str) -> Mapping[Path, int]:
    """Return path → line (from 1) of every table, key and array element; `("staff", 2, "deputy")` is the third's."""
    return _Walk(text).over()


class _Walk:
    """One walk over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.counted = 0  #: how far lines have been counted
        self.line = 1
        self.found: dict[Path, int] = {}
        self.tables: dict[Path, int] = {}  #: array of tables → how many so far

    def over(self) -> Mapping[Path, int]:
        inside: Path = ()
        while self._blank() < len(self.text):
            if self.text[self.at] == "[":
                inside = self._header()
            else:
                self._pair(inside)
        return self.found

    def _blank(self) -> int:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at

    def _note(self, path: Path) -> None:
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        self.found.setdefault(path, self.line)

    def _header(self) -> Path:
        many = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 1 + many
        keys = self._keys()
        end, self.at = self.at, start  # the header's own line, also for what it implies
        path: Path = ()
        for i, key in enumerate(keys):
            path = (*path, key)
            if many and i == len(keys) - 1:
                self.tables[path] = self.tables.get(path, 0) + 1
            self._note(path)
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
                self._note(path)
        self.at = end + 1 + many
        return path

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._blank()
            found = _KEY.match(self.text, self.at)
            if not found:
                raise ValueError(f"No key at character {self.at}.")
            word = found[0]
            keys.append(tomllib.loads(f"k = {word}")["k"] if word[0] in "\"'" else word)
            self.at = found.end()
            self._blank()
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _pair(self, inside: Path) -> None:
        start = self.at
        keys = self._keys()
        end, self.at = self.at, start
        for key in keys:
            inside = (*inside, key)
            self._note(inside)
        self.at = end + 1  # the equals sign
        self._blank()
        self._value(inside)

    def _value(self, path: Path) -> None:
        match self.text[self.at]:
            case "[":
                self._members(path, "]")
            case "{":
                self._members(path, "}")
            case '"' | "'":
                self.at = self._end(_STRING)
            case _:
                self.at = self._end(_PLAIN)

    def _end(self, shape: re.Pattern[str]) -> int:
        found = shape.match(self.text, self.at)
        if not found:
            raise ValueError(f"No value at character {self.at}.")
        return found.end()

    def _members(self, path: Path, close: str) -> None:
        self.at += 1
        number = 0
        while self.text[self._blank()] != close:
            if self.text[self.at] == ",":
                self.at += 1
            elif close == "}":
                self._pair(path)
            else:
                self._note((*path, number))
                self._value((*path, number))
                number += 1
        self.at += 1
