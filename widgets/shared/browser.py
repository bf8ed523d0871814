"""The browser that a session belongs to, recognised by a cookie, and its files."""

import re
import secrets
from typing import TypeGuard

import streamlit as st
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "whypixel_browser"
_DAYS = 30


class BrowserCookie:
    """Middleware that gives each browser a random cookie with the page, which no script can read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; a page, even one that the browser has kept, comes with the cookie."""

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode())]
            await send(message)

        request = HTTPConnection(scope) if scope["type"] == "http" else None
        if request is None or "text/html" not in request.headers.get("accept", ""):
            await self._app(scope, receive, send)
            return
        token = request.cookies.get(COOKIE)
        base = str(st.get_option("server.baseUrlPath") or "").strip("/")
        cookie = (
            f"{COOKIE}={token if _is_token(token) else secrets.token_urlsafe(32)}; Path=/{base}; "
            f"Max-Age={_DAYS * 86400}; HttpOnly; SameSite=Lax"
        )
        await self._app(scope, receive, send_with_cookie)


def browser_token() -> str:
    """The secret of this session's browser; without a cookie, one that lasts as long as the session."""
    token = st.context.cookies.get(COOKIE)
    return token if _is_token(token) else st.session_state.setdefault("_browser", secrets.token_urlsafe(32))


def _is_token(token: object) -> TypeGuard[str]:
    return isinstance(token, str) and re.fullmatch("[A-Za-z0-9_-]{43}", token) is not None
