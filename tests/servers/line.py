"""The part of LINE's Messaging API that we call, as an OpenAPI document over the vendor's own types (tests/wire/outgoing.json).

Made here because LINE's own document tells the kinds of messages apart by a `discriminator`, which validators of OpenAPI 3.0 do not
read: to them a message of no known kind is sound. The types of @line/bot-sdk, made from that document, say it in plain JSON Schema.
Paths, headers and examples: https://developers.line.biz/en/reference/messaging-api/
"""

import json
from pathlib import Path
from typing import Any

WIRE = Path(__file__).parents[1] / "wire" / "outgoing.json"
MESSAGE_ID, TOKEN, USED, LIMIT = "461230966842064897", "NMZTNuVrPTqlr2IF8Bnymkb7rXfYv5EY", 500, 1000
KEY = {"name": "X-Line-Retry-Key", "in": "header", "schema": {"type": "string", "format": "uuid"}}
WHO = {"name": "userId", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^U[0-9a-f]{32}$"}}
SENT = {"sentMessages": [{"id": MESSAGE_ID, "quoteToken": "IStG5h1Tz7b..."}]}


def document() -> dict[str, Any]:
    """Make it. Only 200 stands in it, so Prism answers a breach with 422: after 400 a reply would go once more, as a push."""
    whole = json.loads(WIRE.read_text("utf-8").replace("#/definitions/", "#/components/schemas/"))
    roots, types = whole["properties"], whole["definitions"]
    for name in ("line.push", "line.reply"):  # how many is not in the types
        roots[name]["properties"]["messages"] |= {"minItems": 1, "maxItems": 5}

    def call(answer: str, example: object, body: str = "", *given: object) -> dict[str, Any]:
        takes = {"requestBody": {"required": True, "content": _json(roots[body])}} if body else {}
        content = _json(roots[answer], example)
        return {"parameters": given, **takes, "responses": {"200": {"description": "OK", "content": content}}}

    paths = {
        "/v2/bot/message/push": {"post": call("line.sent", SENT, "line.push", KEY)},
        "/v2/bot/message/reply": {"post": call("line.sent", SENT, "line.reply")},
        "/v2/bot/message/quota": {"get": call("line.quota", {"type": "limited", "value": LIMIT})},
        "/v2/bot/message/quota/consumption": {"get": call("line.used", {"totalUsage": USED})},
        "/v2/bot/user/{userId}/linkToken": {"post": call("line.link", {"linkToken": TOKEN}, "", WHO)},
    }
    keys = {"schemas": types, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
    about = {"title": "LINE Messaging API", "version": "@line/bot-sdk 11.0.0"}
    return {"openapi": "3.1.0", "info": about, "security": [{"token": []}], "paths": paths, "components": keys}


def _json(schema: object, example: object = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **({} if example is None else {"example": example})}}
