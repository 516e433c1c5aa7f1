"""The guard of page and API: checks the keys, the origin and the size of every request.

It is a plain ASGI layer, so it sees every request, including those of Gradio.
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

SESSION = "impasto_session"  # cookie with the id of a browser's session
CLIPS = "/api/clips"  # its uploads may be larger
_TOKEN = "impasto_token"  # cookie with the token
_SAFE = ("GET", "HEAD", "OPTIONS")
# Bytes of a request besides its file: other fields of a form, a mask, JSON around base64.
_BESIDE = 4_000_000
# Gradio downloads URLs that a browser sends to these paths. The guard refuses them.
_FETCHING = ("/gradio_api/proxy=", "/gradio_api/file=http", "/proxy=", "/file=http")
# A page may load nothing from other servers: all fonts, scripts and styles come from here.
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
    """Return whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name, which may resolve to any address
        return False


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The password and the token that visitors need; both None: visitors need nothing.

    Attributes:
        login: "USER:PASSWORD". The browser asks for it (HTTP Basic).
        token: programs send "Authorization: Bearer TOKEN"; a browser opens ?token=TOKEN once.
    """

    login: str | None = None
    token: str | None = None


class Guard:
    """The ASGI layer.

    Args:
        app: the app to guard.
        keys: the password and the token.
        loopback: whether only this machine can reach the server. Then the guard also checks the
            Host header, because a page of another site may use a name that resolves to this
            machine (DNS rebinding).
        max_bytes: the largest upload, in bytes.
        max_clip_bytes: the largest upload to `CLIPS`, in bytes.
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
        """Pass a request on to the app, or refuse it."""
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
            # Add the session to this request too, for the app.
            fresh = f"{headers['cookie']}; " if "cookie" in headers else ""
            value = f"{fresh}{SESSION}={session}".encode("latin-1")
            kept = [each for each in scope["headers"] if each[0] != b"cookie"]
            scope = {**scope, "headers": [*kept, (b"cookie", value)]}
        await self.app(scope, self._limited(scope, receive), _with_headers(send, set_cookies))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        """Return status, text and challenge of a refused request; None: it is allowed."""
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if self.loopback and not is_loopback(name):
            return 403, f"this studio answers requests to localhost only, not to {host!r}", ""
        safe = scope["type"] == "http" and scope["method"] in _SAFE
        if not safe and _is_foreign(headers, host):
            return 403, "the studio refuses requests from pages of other sites", ""
        if any(part in scope["path"] for part in _FETCHING):
            return 403, "the studio downloads nothing from other servers", ""
        if not self._may_enter(scope, headers):
            challenge = 'Basic realm="impasto", charset="UTF-8"' if self.keys.login else "Bearer"
            return (
                401,
                "this studio asks for its user and password (--auth) or its token (--token)",
                challenge,
            )
        length = headers.get("content-length", "0")
        most = self._most(scope)
        if not length.isdecimal() or int(length) > most:
            return (
                413,
                f"the request has more than the {most / 1e6:.0f} MB that the studio allows",
                "",
            )
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
        """Cut off a request that is too large: not every request announces its length."""
        taken, most = 0, self._most(scope)

        async def counted() -> MutableMapping[str, Any]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return {"type": "http.disconnect"} if taken > most else message

        return counted


def session_in(headers: Any) -> str:
    """Return the session of a request; the guard makes sure that it has one."""
    return _cookies({"cookie": headers.get("cookie", "")}).get(SESSION, "")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _is_foreign(headers: dict[str, str], host: str) -> bool:
    """Return whether a page of another site sent a request. Programs send neither header."""
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
    """Move the token from the address, which others may see, into a cookie."""
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
