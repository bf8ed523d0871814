"""The cookie that a browser is recognised by."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import config

from widgets.shared.browser import BrowserCookie


@pytest.fixture
def client():
    async def page(_request):
        return PlainTextResponse("page")

    async def unchanged(_request):
        return Response(status_code=304)

    return TestClient(
        Starlette(
            routes=[Route("/", page), Route("/unchanged", unchanged)], middleware=[Middleware(BrowserCookie)]
        ),
        headers={"accept": "text/html,*/*"},
    )  # fmt: skip


def test_a_browser_gets_a_secret_with_its_first_page_and_keeps_it(client):
    first = client.get("/").headers["set-cookie"]
    token, attributes = re.fullmatch("whypixel_browser=([A-Za-z0-9_-]{43}); (.*)", first).groups()
    assert attributes == "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
    assert client.get("/unchanged").headers["set-cookie"].startswith(f"whypixel_browser={token};")
    client.cookies.clear()
    assert token not in client.get("/").headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "short", "../" * 20, "a" * 44])
def test_a_made_up_secret_is_replaced(client, token):
    client.cookies.set("whypixel_browser", token)
    found = client.get("/").headers["set-cookie"]
    assert re.match("whypixel_browser=[A-Za-z0-9_-]{43};", found)
    assert f"={token};" not in found


def test_only_pages_come_with_it(client):
    assert "set-cookie" not in client.get("/", headers={"accept": "image/png"}).headers


def test_an_app_under_a_base_path_keeps_its_cookie_there(client):
    config.set_option("server.baseUrlPath", "why/")
    try:
        assert "; Path=/why; " in client.get("/").headers["set-cookie"]
    finally:
        config.set_option("server.baseUrlPath", "")
