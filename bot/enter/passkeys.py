"""Passkeys (WebAuthn level 3, by py_webauthn): made on one's own page, brought at the door without a name."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from bot.enter import NOISE, UNKNOWN, USED, WRONG, NotIn
from bot.sign import hashed
from storage import ways
from storage.tx import Tx
from storage.ways import Passkey
from workflow.people import Staff, Town

LIVES: Final = timedelta(minutes=5)
MOST: Final = 20
LONGEST_NAME: Final = 40


class Site(NamedTuple):
    """Where passkeys of ours hold (https://www.w3.org/TR/webauthn-3/#relying-party-identifier)."""

    id: str
    origin: str


def site(base_url: str, here: str) -> Site | None:
    """The site of TSUNAGI_BASE_URL; without one that of a browser on this machine, called by its name.

    None where there can be none: a number is no name, and outside localhost only https counts.
    """
    parts = urlsplit(base_url or here)
    name = parts.hostname or ""
    if name == "localhost" or (base_url and parts.scheme == "https" and not _number(name)):
        return Site(name, f"{parts.scheme}://{parts.netloc}")
    return None


def _number(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


# The library is imported where it is used: it is slow to import, and most requests are not about it.


def ask(tx: Tx, where: Site, at: datetime) -> str:
    """Ask whoever is at the door for any passkey of theirs; the question as JSON."""
    import webauthn
    from webauthn.helpers.structs import UserVerificationRequirement

    asked = webauthn.generate_authentication_options(
        rp_id=where.id, user_verification=UserVerificationRequirement.PREFERRED, timeout=_milliseconds()
    )
    _keep(tx, asked.challenge, "passkey", None, at)
    return webauthn.options_to_json(asked)


def come_in(tx: Tx, where: Site, brought: str, at: datetime) -> str:
    """Whose passkey this is. Raises NotIn."""
    import webauthn
    from webauthn.helpers import bytes_to_base64url
    from webauthn.helpers.exceptions import WebAuthnException

    given, challenge = _challenge(tx, brought, "passkey", None, at)
    key = ways.passkey(tx, str(given.get("id", "")))
    if key is None:
        raise NotIn(UNKNOWN)
    try:
        seen = webauthn.verify_authentication_response(
            credential=given, expected_challenge=challenge, expected_rp_id=where.id, expected_origin=where.origin,
            credential_public_key=key.public_key, credential_current_sign_count=key.sign_count,
        )  # fmt: skip
    except (WebAuthnException, ValueError) as wrong:
        raise NotIn(WRONG, key.staff) from wrong
    if bytes_to_base64url(seen.credential_id) != key.id or not ways.passkey_used(tx, key, seen.new_sign_count, at):
        raise NotIn(USED, key.staff)
    return key.staff


def ask_new(tx: Tx, where: Site, town: Town, person: Staff, at: datetime) -> str:
    """Ask this person's device to make a passkey; the question as JSON."""
    import webauthn
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    there = [
        PublicKeyCredentialDescriptor(id=webauthn.base64url_to_bytes(one.id))
        for one in ways.passkeys_of(tx, person.code)
    ]
    asked = webauthn.generate_registration_options(
        rp_id=where.id, rp_name=f"つなぎ {town.name}", user_name=person.code, user_display_name=person.name,
        user_id=bytes.fromhex(tx.keys.fingerprint("passkeys of", person.code)), timeout=_milliseconds(), exclude_credentials=there,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )  # fmt: skip
    _keep(tx, asked.challenge, "register", person.code, at)
    return webauthn.options_to_json(asked)


def keep(tx: Tx, where: Site, person: Staff, brought: str, name: str, at: datetime) -> Passkey:
    """Keep the passkey that this person's device has made. Raises NotIn."""
    import webauthn
    from webauthn.helpers import bytes_to_base64url
    from webauthn.helpers.exceptions import WebAuthnException

    given, challenge = _challenge(tx, brought, "register", person.code, at)
    try:
        made = webauthn.verify_registration_response(
            credential=given, expected_challenge=challenge, expected_rp_id=where.id, expected_origin=where.origin
        )
    except (WebAuthnException, ValueError) as wrong:
        raise NotIn(WRONG, person.code) from wrong
    called = " ".join("".join(c if c.isprintable() else " " for c in name).split())[:LONGEST_NAME]
    key = Passkey(
        bytes_to_base64url(made.credential_id),
        person.code,
        made.credential_public_key,
        made.sign_count,
        called,
        at,
        None,
    )
    key = replace(key, name=called or f"{len(ways.passkeys_of(tx, person.code)) + 1}")
    if len(ways.passkeys_of(tx, person.code)) >= MOST or not ways.add_passkey(tx, key):
        raise NotIn(USED, person.code)
    return key


def _milliseconds() -> int:
    return int(LIVES.total_seconds() * 1000)


def _keep(tx: Tx, challenge: bytes, kind: str, staff: str | None, at: datetime) -> None:
    ways.ask(tx, hashed(challenge.hex()), kind, staff, {}, at, at + LIVES)


def _challenge(tx: Tx, brought: str, kind: str, staff: str | None, at: datetime) -> tuple[dict[str, Any], bytes]:
    """What was brought, and the challenge that it answers, which is ours, of this kind and now used up. Raises NotIn."""
    from webauthn import base64url_to_bytes
    from webauthn.helpers import parse_client_data_json
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        given: dict[str, Any] = json.loads(brought)
        said = parse_client_data_json(base64url_to_bytes(given["response"]["clientDataJSON"]))
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError) as wrong:
        raise NotIn(NOISE, staff) from wrong
    asked = ways.answer(tx, hashed(said.challenge.hex()), kind, at)
    if asked is None or asked.staff != staff:
        raise NotIn(NOISE, staff)
    return given, said.challenge
