"""What is wrong with the layout of a page in a browser."""

from pathlib import Path

from playwright.sync_api import Page

_SCRIPT = Path(__file__).with_name("layout.js").read_text(encoding="utf-8")
_SCRIPT = _SCRIPT[_SCRIPT.index("() =>") :]


def faults_of(page: Page) -> list[str]:
    """Text that is cut, wrapped in a button or overlaps other text, and sideways scrolling, a sentence each."""
    return page.evaluate(_SCRIPT)
