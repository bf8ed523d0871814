"""The channel's route, for the server's entry: what answers is imported with the first visitor."""

import streamlit as st
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

_PATH = "/api/live"


def routes() -> list[WebSocketRoute]:
    """The channel's routes for the server, also under its base path."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return [WebSocketRoute(path, _serve) for path in dict.fromkeys((_PATH, f"/{base}{_PATH}" if base else _PATH))]


async def _serve(socket: WebSocket) -> None:
    from widgets.viewer.channel import serve  # noqa: PLC0415 - it imports torch, which the first page needs anyway

    await serve(socket)
