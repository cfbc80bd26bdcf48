"""The browser, and what is installed for it.

Rule: what the page logs as an error fails its test, unless it was to
be.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PLACE = ROOT / ".live"
PICTURES = PLACE / "pictures"
MODULES = PLACE / "node_modules"
AXE = MODULES / "axe-core" / "axe.min.js"
PRETTIER = MODULES / "prettier" / "bin" / "prettier.cjs"
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 10_000  # ms


def install() -> None:
    """Get what npm has."""
    PLACE.mkdir(exist_ok=True)
    shutil.copy(HERE / "package.json", PLACE)
    command = ("npm", "install", "--no-package-lock", "--no-audit", "--no-fund")
    subprocess.run(command, cwd=PLACE, check=True, timeout=300)


def executable() -> str | None:
    """The Chromium of this machine, if it has one."""
    found = filter(None, map(shutil.which, NAMES))
    return next(found, None)


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(), args=["--no-sandbox"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """The page at this address, once it shows the board.

    In ``page.told`` is what it logged, and in ``page.asked`` all that
    it requested.
    """
    context = browser.new_context(**({"color_scheme": "light"} | options))
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.told = []
    page.asked = []
    page.on("pageerror", lambda error: page.told.append(str(error)))
    page.on("console", lambda message: page.told.append(message.text))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(url)
    page.wait_for_selector("#connection.open")
    try:
        yield page
    finally:
        context.close()
