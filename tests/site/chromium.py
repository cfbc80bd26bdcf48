"""A lesson in a real browser, without a window.

Rules: nothing but this machine's own loopback is asked for anything,
and what it sends for a lesson has a limit.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from notebooks.site import server_of
from tests.live.browser import executable

PATIENCE = 170_000  # ms
# What a first visit may transfer: the promise is 12 MB.
TRANSFER = 11_800_000  # bytes
NOTEBOOK = "window.jupyterapp?.shell?.currentWidget"
SHOWN = f"({NOTEBOOK}?.content?.widgets?.length ?? 0) > 3"
READY = f"{NOTEBOOK}?.sessionContext?.session?.kernel?.status === 'idle'"
# Since the committed outputs are shown until a cell is run.
BEGIN = """() => {
    window.played = null;
    const commands = window.jupyterapp.commands;
    commands.execute('notebook:clear-all-cell-outputs')
        .then(() => commands.execute('notebook:run-all-cells'))
        .then(() => { window.played = true; });
}"""
CODE = f"{NOTEBOOK}.content.widgets.filter(each => each.model.type === 'code')"
OUTPUTS = f"() => {CODE}.map(each => each.model.outputs.toJSON())"
FIRST = f"{CODE}.some(each => each.model.outputs.length > 0)"
# What a cell with this text prints, or raises.
ANSWERED = f"""async (code) => {{
    const kernel = {NOTEBOOK}.sessionContext.session.kernel;
    const future = kernel.requestExecute({{ code }});
    let said = '';
    future.onIOPub = ({{ content }}) => {{
        if (content.text) said += content.text;
        if (content.ename) said += `${{content.ename}}: ${{content.evalue}}`;
    }};
    await future.done;
    return said;
}}"""


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    """The address at which the site is served."""
    server = server_of(site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def somebody_new() -> Iterator[Any]:
    """A browser with an empty profile on the disk.

    In a private window, nothing that was compiled would be kept for the
    second visit.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=executable(), args=["--no-sandbox"]
        )
        try:
            yield context
        finally:
            context.close()


class Transfer:
    """What a page asks for: bytes as sent, by kind, and other hosts."""

    def __init__(self, context: Any) -> None:
        self.bytes: Counter[str] = Counter()
        self.elsewhere: set[str] = set()
        context.on("request", self._asked)
        context.on("requestfinished", self._finished)

    def _asked(self, request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme.startswith("http") and address.hostname != "127.0.0.1":
            self.elsewhere.add(request.url)

    def _finished(self, request: Any) -> None:
        with contextlib.suppress(Exception):
            sizes = request.sizes()
            kind = PurePosixPath(urlsplit(request.url).path).suffix
            sent = sizes["responseBodySize"] + sizes["responseHeadersSize"]
            self.bytes[kind] += sent

    def checked(self) -> str:
        """Its bytes in words, if they are few enough and from here."""
        if self.elsewhere:
            raise AssertionError(f"it asks elsewhere: {sorted(self.elsewhere)}")
        kinds = [f"{kind} {sent:,}" for kind, sent in self.bytes.most_common(5)]
        words = f"{self.bytes.total():,} bytes ({', '.join(kinds)})"
        if self.bytes.total() > TRANSFER:
            raise AssertionError(f"{words} are more than {TRANSFER:,}")
        return words


@dataclass(frozen=True)
class Played:
    """What each code cell has shown, and what the answers were told."""

    outputs: list[list[dict[str, Any]]]
    said: list[str]


def played(site: Path, lesson: str, answers: list[str], again: bool) -> Played:
    """A lesson after *Run All*, and then these cells with answers.

    ``again`` visits it a second time, as who has been there before.
    """
    with served(site) as address, somebody_new() as context:
        context.set_default_timeout(PATIENCE)
        transfer = Transfer(context)
        page = context.new_page()
        url = f"{address}/notebooks/index.html?path=notebooks/{lesson}.ipynb"

        print(f"{_visited(page, url)}; {transfer.checked()}")
        outputs: list[list[dict[str, Any]]] = page.evaluate(OUTPUTS)

        begun = time.perf_counter()
        said = [page.evaluate(ANSWERED, code) for code in answers]
        print(f"{len(answers)} cells of answers {time.perf_counter() - begun:.1f} s")
        page.close()
        transfer.checked()

        if again:
            transfer.bytes.clear()
            told = _visited(context.new_page(), url)
            print(f"again: {told}; {transfer.checked()}")
        return Played(outputs, said)


def _visited(page: Any, url: str) -> str:
    """Open a lesson and run it; how long each step took."""
    begun = time.perf_counter()
    page.goto(url)
    page.wait_for_function(SHOWN)
    shown = time.perf_counter() - begun
    page.wait_for_function(READY)
    ready = time.perf_counter() - begun
    page.evaluate(BEGIN)
    page.wait_for_function(FIRST)
    first = time.perf_counter() - begun
    page.wait_for_function("window.played === true")
    done = time.perf_counter() - begun
    return (
        f"shown {shown:.1f} s, kernel {ready:.1f} s, first result {first:.1f} s, "
        f"all {done:.1f} s"
    )
