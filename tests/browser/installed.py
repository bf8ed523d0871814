"""Exit code 0 if a browser can be started: `python -m tests.browser.installed`."""

import sys

from playwright.sync_api import Error

from tests.browser.app import chromium

if __name__ == "__main__":
    try:
        with chromium():
            pass
    except Error:
        sys.exit(1)
