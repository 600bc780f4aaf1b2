"""A case number: six random digits and two check digits (ISO 7064 mod 97-10), written 385-267-52."""

import re
import unicodedata

_DIGITS = re.compile(r"\d{8}")
_SHAPE = re.compile(r"(?<!\d)(\d{3})[-\s‐‑–—―−ー]?(\d{3})[-\s‐‑–—―−ー]?(\d{2})(?!\d)")


def make(six: int) -> str:
    """Write the number whose payload is `six` (0–999999) with its check digits."""
    if not 0 <= six <= 999_999:
        raise ValueError("a case number's payload has six digits")
    check = 98 - six * 100 % 97
    text = f"{six:06d}{check:02d}"
    return f"{text[:3]}-{text[3:6]}-{text[6:]}"


def valid(number: str) -> bool:
    """Say whether the check digits fit."""
    digits = number.replace("-", "")
    return bool(_DIGITS.fullmatch(digits)) and int(digits) % 97 == 1


def find(text: str) -> tuple[str, int, int] | None:
    """Find the first thing shaped like a number: (385-267-52, start, end) in the NFKC form of `text`."""
    match = _SHAPE.search(unicodedata.normalize("NFKC", text))
    return ("-".join(match.groups()), match.start(), match.end()) if match else None


def neighbours(number: str) -> list[str]:
    """Valid numbers one digit or one swap away: what was probably meant by a wrong one."""
    digits = number.replace("-", "")
    tried = {digits[:i] + d + digits[i + 1 :] for i in range(8) for d in "0123456789"}
    tried |= {digits[:i] + digits[i + 1] + digits[i] + digits[i + 2 :] for i in range(7)}
    tried.discard(digits)
    return sorted(f"{t[:3]}-{t[3:6]}-{t[6:]}" for t in tried if valid(t))
