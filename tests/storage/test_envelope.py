"""A sealed file: whatever is changed, cut off, moved or put in, nothing but what was sealed comes out, and the end is said to be missing."""

import io
import random
from collections.abc import Callable

import pytest

from storage.envelope import CHUNK, MAGIC, MARK, SALT, TAG, Damaged, NotABackup, OtherKey, Sealer, opened
from storage.seal import Keys

KEY = Keys(bytes(range(32))).for_backups
OTHER = Keys(bytes(32)).for_backups
HEADER = len(MAGIC) + MARK + SALT
WHOLE = random.Random(7).randbytes(3 * CHUNK + 1_000)  #: four chunks


def sealed(plain: bytes, key: bytes = KEY) -> bytes:
    file = io.BytesIO()
    sealer = Sealer(file, key)
    for start in range(0, len(plain), 10_007):
        sealer.write(plain[start : start + 10_007])
    sealer.close()
    return file.getvalue()


SEALED = sealed(WHOLE)
SECOND = sealed(WHOLE)


def chunk(n: int, of: bytes = SEALED) -> bytes:
    return of[HEADER + n * (CHUNK + TAG) : HEADER + (n + 1) * (CHUNK + TAG)]


def comes_out(file: bytes, key: bytes = KEY) -> tuple[bytes, type[Exception] | None]:
    found = b""
    try:
        for some in opened(io.BytesIO(file), key):
            found += some
    except (Damaged, NotABackup, OtherKey) as error:
        return found, type(error)
    return found, None


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
def test_what_was_sealed_comes_out(size: int) -> None:
    assert comes_out(sealed(WHOLE[:size])) == (WHOLE[:size], None)


def test_a_file_of_today_opens_with_every_later_program() -> None:
    kept = (
        "7473756e616769206261636b757020310a4d569752d64b6d4bd761dcb67a580f3d89c16a4b6d3708fce8d405afecf2c3ff687787b72c24e3e76c08297452b3"
        "d06509c709bcec1c1dafa0b99d6ed635267c61c4d2dd3d"
    )
    assert comes_out(bytes.fromhex(kept)) == ("なが れ市".encode(), None)


def _flipped(at: int) -> bytes:
    return SEALED[:at] + bytes([SEALED[at] ^ 1]) + SEALED[at + 1 :]


PLACES = [*range(HEADER), *(HEADER + n * (CHUNK + TAG) + at for n in range(3) for at in (0, CHUNK // 2, CHUNK - 1, CHUNK, CHUNK + TAG - 1)), len(SEALED) - 1, len(SEALED) - TAG, len(SEALED) - TAG - 1]  # fmt: skip


@pytest.mark.parametrize("at", PLACES)
def test_one_bit_anywhere_is_found_out(at: int) -> None:
    found, error = comes_out(_flipped(at))
    assert error in (Damaged, NotABackup, OtherKey) and WHOLE.startswith(found) and found != WHOLE
    assert len(found) % CHUNK == 0 and len(found) <= max(0, at - HEADER)


@pytest.mark.parametrize(
    "size",
    [0, 1, len(MAGIC), HEADER - 1, HEADER, HEADER + 1, HEADER + TAG, HEADER + CHUNK + TAG, HEADER + CHUNK + TAG + 1, HEADER + 3 * (CHUNK + TAG), len(SEALED) - 1],
)  # fmt: skip
def test_a_file_that_is_cut_off_is_not_whole(size: int) -> None:
    found, error = comes_out(SEALED[:size])
    assert error is (NotABackup if size < len(MAGIC) else Damaged) and WHOLE.startswith(found) and found != WHOLE


HEAD = SEALED[:HEADER]
MEDDLED: dict[str, Callable[[], bytes]] = {
    "two changed places": lambda: HEAD + chunk(1) + chunk(0) + chunk(2) + chunk(3),
    "one is missing": lambda: HEAD + chunk(0) + chunk(2) + chunk(3),
    "the first is missing": lambda: HEAD + chunk(1) + chunk(2) + chunk(3),
    "one is there twice": lambda: HEAD + chunk(0) + chunk(0) + chunk(1) + chunk(2) + chunk(3),
    "one of another file": lambda: HEAD + chunk(0) + chunk(1, SECOND) + chunk(2) + chunk(3),
    "the beginning of another file": lambda: SECOND[:HEADER] + SEALED[HEADER:],
    "something behind it": lambda: SEALED + b"x",
    "another file behind it": lambda: SEALED + SECOND[HEADER:],
}


@pytest.mark.parametrize("how", MEDDLED)
def test_chunks_that_were_moved_are_found_out(how: str) -> None:
    found, error = comes_out(MEDDLED[how]())
    assert error is Damaged and WHOLE.startswith(found) and found != WHOLE


def test_another_key_opens_nothing_and_is_said_to_be_another() -> None:
    assert comes_out(SEALED, OTHER) == (b"", OtherKey)


def test_two_files_of_the_same_have_nothing_in_common() -> None:
    assert SEALED[len(MAGIC) + MARK : HEADER] != SECOND[len(MAGIC) + MARK : HEADER] and chunk(0) != chunk(0, SECOND)
    assert WHOLE[:64] not in SEALED and KEY not in SEALED
