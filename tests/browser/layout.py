"""What is wrong with the layout and the colours of a page in a browser."""

from pathlib import Path

from playwright.sync_api import Page


def faults_of(page: Page) -> list[str]:
    """Text that is cut, wrapped in a button or overlaps other text, and sideways scrolling, a sentence each."""
    return page.evaluate(_function("layout.js"))


def pale_texts_of(page: Page) -> list[str]:
    """Texts whose contrast with their background is below 4.5:1, each with its contrast."""
    return page.evaluate(_function("contrast.js"))


def _function(name: str) -> str:
    source = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return source[source.index("() =>") :]
