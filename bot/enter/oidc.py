"""A town's identity provider (OpenID Connect, by Authlib): authorization code with PKCE, state and nonce.

Nothing is called before somebody asks.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from bot.enter import AWAY, NOISE, UNKNOWN, WRONG, NotIn
from bot.settings import Settings
from bot.sign import hashed
from storage import ways
from storage.tx import Tx
from workflow.people import Staff, Town

LIVES: Final = timedelta(minutes=10)
#: Seconds for one answer of the provider.
ANSWER: Final = 10.0
#: A key that proves, never one that both sides know, never none.
SIGNED: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)


class Asked(NamedTuple):
    """Where the provider is, and what has to come back from there."""

    url: str
    state: str
    nonce: str
    verifier: str


class Provider:
    """The provider as the settings name it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None
        self._by_post = False  #: it wants our secret in the form, not in a header

    @property
    def known(self) -> bool:
        return bool(self._settings.oidc_issuer and self._settings.oidc_client_id)

    async def _ready(self) -> Any:
        """The client with what the provider says of itself, asked for once. Raises NotIn."""
        if self._client is None:
            made = self._made()
            said = await _answered(made.load_server_metadata())
            self._check(said)
            self._client = made
        return self._client

    def _made(self) -> Any:
        from authlib.integrations.starlette_client.apps import StarletteOAuth2App  # slow to import

        ours = self._settings
        secret = ours.oidc_client_secret.get_secret_value()
        return StarletteOAuth2App(
            None, name="town", client_id=ours.oidc_client_id, client_secret=secret or None,
            server_metadata_url=f"{ours.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid email profile", "code_challenge_method": "S256", "timeout": ANSWER, "follow_redirects": False,
                "token_endpoint_auth_method": "client_secret_basic" if secret else "none",
            },
        )  # fmt: skip

    def _check(self, said: dict[str, Any]) -> None:
        """A provider speaks for itself alone, over TLS, and signs with a key of its own. Raises NotIn."""
        if str(said.get("issuer", "")).rstrip("/") != self._settings.oidc_issuer.rstrip("/"):
            raise NotIn(WRONG)
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            place = said.get(name)
            if (name != "userinfo_endpoint" and not place) or (
                place and not _safe(str(place), self._settings.oidc_issuer)
            ):
                raise NotIn(WRONG)
        signed = [one for one in said.get("id_token_signing_alg_values_supported") or () if one in SIGNED]
        said["id_token_signing_alg_values_supported"] = signed or ["RS256"]
        ways_in = said.get("token_endpoint_auth_methods_supported") or ()
        self._by_post = "client_secret_post" in ways_in and "client_secret_basic" not in ways_in

    async def ask(self, back: str) -> Asked:
        """Where to send a browser. Raises NotIn (away) when the provider does not answer."""
        client = await self._ready()
        made = await _answered(client.create_authorization_url(back))
        return Asked(made["url"], made["state"], made["nonce"], made["code_verifier"])

    async def claims(self, code: str, asked: Asked, back: str) -> dict[str, Any]:
        """What the provider says of whoever came back. Raises NotIn."""
        client = await self._ready()
        if self._by_post and self._settings.oidc_client_secret.get_secret_value():
            client.client_kwargs["token_endpoint_auth_method"] = "client_secret_post"
        token = await _answered(
            client.fetch_access_token(
                back, code=code, code_verifier=asked.verifier, grant_type="authorization_code", state=asked.state
            )
        )
        said = await _answered(client.parse_id_token(token, asked.nonce))
        if not said:
            raise NotIn(WRONG)
        if self._settings.oidc_claim not in said and client.server_metadata.get("userinfo_endpoint"):
            more = await _answered(client.userinfo(token=token))
            if more.get("sub") != said["sub"]:
                raise NotIn(WRONG)
            return {**more, **said}
        return dict(said)


async def _answered(call: Any) -> Any:
    """Wait for the provider. Raises NotIn when it is away, or says what does not hold."""
    import httpx2
    from authlib.common.errors import AuthlibBaseError
    from joserfc.errors import JoseError

    try:
        async with asyncio.timeout(3 * ANSWER):
            return await call
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as gone:
        raise NotIn(AWAY) from gone
    except (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError, RuntimeError) as wrong:
        raise NotIn(WRONG) from wrong


def _safe(place: str, issuer: str) -> bool:
    """Over TLS, or where the issuer itself is on this machine."""
    return urlsplit(place).scheme == "https" or urlsplit(place).hostname == urlsplit(issuer).hostname in (
        "127.0.0.1",
        "localhost",
    )


def keep(tx: Tx, asked: Asked, more: dict[str, Any], at: datetime) -> None:
    """Remember what was asked until it comes back."""
    doc = {"nonce": asked.nonce, "verifier": asked.verifier, **more}
    ways.ask(tx, hashed(asked.state), "oidc", None, doc, at, at + LIVES)


def back(tx: Tx, state: str, at: datetime) -> tuple[Asked, dict[str, Any]]:
    """What was asked under this state, once. Raises NotIn."""
    found = ways.answer(tx, hashed(state), "oidc", at)
    if found is None:
        raise NotIn(NOISE)
    return Asked("", state, found.doc["nonce"], found.doc["verifier"]), found.doc


def whom(town: Town, claim: str, said: dict[str, Any]) -> Staff:
    """Whom a claim means: by the code of the town file or its mail address. Raises NotIn."""
    value = said.get(claim)
    if not isinstance(value, str) or not value.strip() or (claim == "email" and said.get("email_verified") is False):
        raise NotIn(UNKNOWN)
    wanted = value.strip().casefold()
    found = [one for one in town.staff.values() if wanted in (one.code.casefold(), one.email.casefold())]
    if len(found) != 1:
        raise NotIn(UNKNOWN)
    return found[0]
