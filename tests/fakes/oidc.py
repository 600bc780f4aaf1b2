"""A town's identity provider on loopback, made of Authlib's own server: it insists on PKCE and a nonce, and lies on command."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, jsonify, request
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT, SECRET = "tsunagi", "a-secret"


@dataclass
class Provider(ClientMixin):  # type: ignore[misc]
    """What it has been told to say, and what it has been asked."""

    back: str  #: the one address that it sends to
    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: {"email": "suzuki@town.example", "email_verified": True})
    says: dict[str, Any] = field(default_factory=dict)  #: claims of the token that are replaced: iss, aud, nonce …
    strange: bool = False  #: it signs with a key that it does not show
    codes: dict[str, "Code"] = field(default_factory=dict)
    nonces: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)  #: paths, in order
    methods: list[str] = field(default_factory=list)  #: how PKCE was done

    # -- the one client, as Authlib asks about it

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return self.back

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.back

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code:
    code: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> None:
        return None

    get_acr = get_amr = get_auth_time


@cache
def _keys() -> tuple[RSAKey, RSAKey]:
    """Made once: each takes a while."""
    one, two = (RSAKey.generate_key(2048, {"kid": "1", "use": "sig"}) for _ in range(2))
    return one, two


@contextmanager
def served(back: str) -> Iterator[Provider]:
    """Serve on a free port; `back` is the address that it knows us by."""
    provider = Provider(back)
    shown, hidden = _keys()
    app = Flask("provider")
    server = AuthorizationServer(
        app, query_client=lambda id_: provider if id_ == CLIENT else None, save_token=lambda *_: None
    )

    class ByCode(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["client_secret_basic"]

        def save_authorization_code(self, code: str, asked: Any) -> Code:
            given = asked.payload.data
            provider.methods.append(given["code_challenge_method"])
            provider.nonces.add(given["nonce"])
            challenge = (given["code_challenge"], given["code_challenge_method"])
            provider.codes[code] = Code(code, given["redirect_uri"], given["scope"], given["nonce"], *challenge)
            return provider.codes[code]

        def query_authorization_code(self, code: str, client: Any) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            del provider.codes[authorization_code.code]

        def authenticate_user(self, authorization_code: Code) -> str:
            return "u-4711"

    class Told(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, asked: Any) -> bool:
            return nonce in provider.nonces

        def resolve_client_private_key(self, client: Any) -> RSAKey:
            return hidden if provider.strange else shown

        def get_client_algorithm(self, client: Any) -> str:
            return "RS256"

        def get_client_claims(self, client: Any) -> dict[str, Any]:
            return {"iss": provider.issuer, "aud": [CLIENT]}

        def generate_user_info(self, user: str, scope: str) -> UserInfo:
            return UserInfo(sub=user, **{**provider.claims, **provider.says})

    server.register_grant(ByCode, [CodeChallenge(required=True), Told(require_nonce=True)])

    @app.before_request
    def heard() -> None:
        provider.asked.append(request.path)

    @app.get("/.well-known/openid-configuration")
    def about() -> Any:
        here = provider.issuer
        return jsonify(
            issuer=here, authorization_endpoint=f"{here}/authorize", token_endpoint=f"{here}/token", jwks_uri=f"{here}/jwks",
            response_types_supported=["code"], id_token_signing_alg_values_supported=["RS256", "none", "HS256"],
        )  # fmt: skip

    @app.get("/jwks")
    def jwks() -> Any:
        return jsonify(keys=[shown.as_dict(private=False)])

    @app.get("/authorize")
    def authorize() -> Any:
        grant = server.get_consent_grant(end_user="u-4711")
        return server.create_authorization_response(grant_user="u-4711", grant=grant)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    listening = make_server("127.0.0.1", 0, app, threaded=True)
    provider.issuer = f"http://localhost:{listening.port}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        listening.shutdown()
        thread.join(5)
        listening.server_close()
