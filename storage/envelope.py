"""A sealed file in chunks, by AES-GCM in the STREAM construction that age and Tink use (https://eprint.iacr.org/2015/189).

It begins with the magic line, a mark of whose key it is (no secret) and a salt. The file's own key comes of the key and the salt;
the whole beginning is bound to every chunk, and a chunk's nonce is its place and whether it is the last. So nothing is changed,
taken away, moved or added unseen, and what is handed out of `opened` is what was sealed, up to there.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC: Final = b"tsunagi backup 1\n"
MARK: Final = 8  #: bytes
SALT: Final = 32
CHUNK: Final = 1 << 16  #: bytes of one chunk before it is sealed; the last may be shorter
TAG: Final = 16


class NotABackup(Exception):
    """This file is not a backup of tsunagi."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class OtherKey(Exception):
    """This backup does not open with this key file: it needs a key that was in the key file of where and when it was made."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Damaged(Exception):
    """This backup is damaged or not whole: take another copy of it."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Sealer:
    """Seals what is written to it; the last chunk is sealed by `close`."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file = file
        self._header = MAGIC + _mark(key) + secrets.token_bytes(SALT)
        self._cipher = _cipher(key, self._header)
        self._held = bytearray()
        self._place = 0
        file.write(self._header)

    def write(self, plain: bytes) -> None:
        self._held += plain
        while len(self._held) > CHUNK:  # one that is full may still be the last
            self._put(bytes(self._held[:CHUNK]), last=False)
            del self._held[:CHUNK]

    def close(self) -> None:
        self._put(bytes(self._held), last=True)

    def _put(self, plain: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._place, last), plain, self._header))
        self._place += 1


def opened(file: BinaryIO, *keys: bytes) -> Iterator[bytes]:
    """Yield what was sealed with one of these keys, chunk by chunk.

    Raises NotABackup, OtherKey or Damaged, the first two before anything is yielded.
    """
    header = file.read(len(MAGIC) + MARK + SALT)
    if not header.startswith(MAGIC):
        raise NotABackup
    if len(header) < len(MAGIC) + MARK + SALT:
        raise Damaged
    mark = header[len(MAGIC) : len(MAGIC) + MARK]
    key = next((one for one in keys if hmac.compare_digest(mark, _mark(one))), None)
    if key is None:
        raise OtherKey
    cipher, place, sealed = _cipher(key, header), 0, file.read(CHUNK + TAG)
    while True:
        following = file.read(CHUNK + TAG)
        try:
            yield cipher.decrypt(_nonce(place, not following), sealed, header)
        except InvalidTag:
            raise Damaged from None
        if not following:
            return
        sealed, place = following, place + 1


def _mark(key: bytes) -> bytes:
    return hmac.new(key, b"whose", hashlib.sha256).digest()[:MARK]


def _cipher(key: bytes, header: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=header[-SALT:], info=MAGIC).derive(key))


def _nonce(place: int, last: bool) -> bytes:
    return place.to_bytes(11) + bytes([last])
