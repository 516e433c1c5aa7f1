"""What stands before page and API: who may ask, from where, and how much they may send.

A plain ASGI layer, so that it sees every request there is, also Gradio's own.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

__all__ = ["SESSION", "Guard", "Keys", "is_loopback", "session_in"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SESSION = "impasto_session"  # the cookie that tells one browser from another
CLIPS = "/api/clips"  # where more may be sent than elsewhere
_TOKEN = "impasto_token"  # a cookie, too
_SAFE = ("GET", "HEAD", "OPTIONS")
# Bytes of a request beside the file in it: a form's other fields, a mask, JSON around base64.
_BESIDE = 4_000_000
# Gradio's ways to fetch what a browser names: there are none here.
_FETCHING = ("/gradio_api/proxy=", "/gradio_api/file=http", "/proxy=", "/file=http")
# Nothing may be loaded from elsewhere: fonts, scripts and styles are all served from here.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'none'; "
    "form-action 'self'; base-uri 'self'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def is_loopback(host: str) -> bool:
    """Tell whether a host to bind to can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # another name, whatever it resolves to
        return False


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What a visitor has to show; nothing at all where both are None.

    Attributes:
        login: "USER:PASSWORD", asked for by the browser (HTTP Basic).
        token: sent as "Authorization: Bearer TOKEN", or once as ?token=TOKEN by a browser.
    """

    login: str | None = None
    token: str | None = None


class Guard:
    """The layer.

    Args:
        app: what it stands before.
        keys: what a visitor has to show.
        loopback: whether the server listens to this machine only. Then pages of other sites, which
            a browser could be made to show under a name that leads here (DNS rebinding), are told
            from ours by the Host header.
        max_bytes: of an upload.
        max_clip_bytes: of an upload to `CLIPS`.
    """

    def __init__(
        self, app: Any, keys: Keys, *, loopback: bool, max_bytes: int, max_clip_bytes: int
    ) -> None:
        self.app = app
        self.keys = keys
        self.loopback = loopback
        self.most = max_bytes * 4 // 3 + _BESIDE  # base64 takes a third more
        self.most_of_clips = max_clip_bytes + _BESIDE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(scope, send, *refusal)
            return
        cookies = _cookies(headers)
        set_cookies: list[bytes] = []
        if self.keys.token is not None and "token" in dict(_query(scope)):
            await _drop_token(scope, send, self.keys.token)
            return
        session = cookies.get(SESSION, "")
        if len(session) < 20:
            session = secrets.token_urlsafe(24)
            set_cookies.append(_cookie(SESSION, session))
            # … so that what answers this very request knows it, too.
            fresh = f"{headers['cookie']}; " if "cookie" in headers else ""
            value = f"{fresh}{SESSION}={session}".encode("latin-1")
            kept = [each for each in scope["headers"] if each[0] != b"cookie"]
            scope = {**scope, "headers": [*kept, (b"cookie", value)]}
        await self.app(scope, self._limited(scope, receive), _with_headers(send, set_cookies))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        """Return status, text and challenge of a request that is not let through."""
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if self.loopback and not is_loopback(name):
            return 403, f"this studio answers to localhost only, not to {host!r}", ""
        safe = scope["type"] == "http" and scope["method"] in _SAFE
        if not safe and _is_foreign(headers, host):
            return 403, "requests from pages of other sites are refused", ""
        if any(part in scope["path"] for part in _FETCHING):
            return 403, "the studio fetches nothing from elsewhere", ""
        if not self._may_enter(scope, headers):
            challenge = 'Basic realm="impasto", charset="UTF-8"' if self.keys.login else "Bearer"
            return 401, "this studio wants its --auth user and password, or its --token", challenge
        length = headers.get("content-length", "0")
        most = self._most(scope)
        if not length.isdecimal() or int(length) > most:
            return 413, f"more than the {most / 1e6:.0f} MB that the studio takes at once", ""
        return None

    def _may_enter(self, scope: Scope, headers: dict[str, str]) -> bool:
        login, token = self.keys.login, self.keys.token
        if login is None and token is None:
            return True
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if login is not None and kind.lower() == "basic":
            try:
                if _same(base64.b64decode(shown, validate=True).decode(), login):
                    return True
            except (binascii.Error, UnicodeDecodeError):
                return False
        if token is not None:
            offered = [
                shown if kind.lower() == "bearer" else "",
                _cookies(headers).get(_TOKEN, ""),
                dict(_query(scope)).get("token", ""),
            ]
            return any(_same(each, token) for each in offered)
        return False

    def _most(self, scope: Scope) -> int:
        return self.most_of_clips if scope["path"] == CLIPS else self.most

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Count what comes in, where no length was announced."""
        taken, most = 0, self._most(scope)

        async def counted() -> MutableMapping[str, Any]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return {"type": "http.disconnect"} if taken > most else message

        return counted


def session_in(headers: Any) -> str:
    """Return the session of a request by its headers; the guard has made sure that it has one."""
    return _cookies({"cookie": headers.get("cookie", "")}).get(SESSION, "")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _is_foreign(headers: dict[str, str], host: str) -> bool:
    """Tell whether a browser sent this from another site's page; programs send neither header."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        return True
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _cookies(headers: dict[str, str]) -> dict[str, str]:
    try:
        return {name: each.value for name, each in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope.get("query_string", b"").decode("latin-1"))


def _cookie(name: str, value: str) -> bytes:
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000".encode()


async def _drop_token(scope: Scope, send: Send, token: str) -> None:
    """Put the token into a cookie and out of the address, which others may see."""
    rest = urlencode([each for each in _query(scope) if each[0] != "token"])
    target = scope["path"].replace("//", "/") + (f"?{rest}" if rest else "")
    headers = [(b"location", target.encode()), (b"set-cookie", _cookie(_TOKEN, token))]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _with_headers(send: Send, cookies: list[bytes]) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            given += [*_HEADERS, *((b"set-cookie", each) for each in cookies)]
            message = {**message, "headers": given}
        await send(message)

    return sending


async def _answer(scope: Scope, send: Send, status: int, text: str, challenge: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    headers = [(b"content-type", b"application/json"), *_HEADERS]
    headers += [(b"www-authenticate", challenge.encode())] if challenge else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": text}).encode()})
