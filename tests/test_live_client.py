"""The JavaScript client, in Node and in Chromium, against a server.

What it has to do stands in ``client_scenario.mjs``. Without Node or
Chromium, that is skipped.
"""

import contextlib
import http.server
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import server
from tests.helpers import project_root

CLIENT = project_root() / "taskmanager" / "live" / "client.mjs"
SCENARIO = project_root() / "tests" / "client_scenario.mjs"
SETTINGS: dict[str, Any] = {"work_scale": 0.2, "rate_limit": 10, "rate_window": 2}
PAGE = b"""<!doctype html><meta charset="utf-8"><script type="module">
import { play } from "./client_scenario.mjs";
let told = "ok";
try { await play("/"); } catch (error) { told = String(error.stack); }
await fetch("/told", { method: "POST", body: told });
</script>"""
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.slow


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_in_node(tmp_path: Path) -> None:
    for file in (CLIENT, SCENARIO):
        shutil.copy(file, tmp_path)
    with server(**SETTINGS) as port:
        program = (
            'import { play } from "./client_scenario.mjs";'
            f'await play("http://127.0.0.1:{port}");'
        )
        done = subprocess.run(
            ["node", "--input-type=module", "--eval", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_in_a_page_of_the_same_origin(tmp_path: Path) -> None:
    with server(**SETTINGS) as port, page(port) as (url, told, done):
        assert CHROMIUM is not None
        browser = subprocess.Popen(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-port=0",
                f"--user-data-dir={tmp_path}",
                url,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(100)
        finally:
            browser.terminate()
            browser.wait(10)
    assert told == ["ok"]


@contextlib.contextmanager
def page(port: int) -> Iterator[tuple[str, list[str], threading.Event]]:
    """A page in front of a server: its URL, and what it will tell."""
    told: list[str] = []
    done = threading.Event()
    files = {"/client.mjs": CLIENT, "/client_scenario.mjs": SCENARIO}

    class Handler(http.server.BaseHTTPRequestHandler):
        """Serves the page and its scripts, and passes on the rest."""

        def do_GET(self) -> None:
            if self.path == "/page":
                self._answer(200, {"Content-Type": "text/html"}, PAGE)
            elif self.path in files:
                kind = {"Content-Type": "text/javascript"}
                self._answer(200, kind, files[self.path].read_bytes())
            else:
                self._pass_on(None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/told":
                told.append(body.decode())
                self._answer(204, {}, b"")
                done.set()
            else:
                self._pass_on(body)

        def do_DELETE(self) -> None:
            self._pass_on(None)

        def _pass_on(self, body: bytes | None) -> None:
            names = ("Content-Type", "Idempotency-Key", "Accept")
            headers = {
                name: self.headers[name] for name in names if name in self.headers
            }
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{self.path}",
                body,
                headers,
                method=self.command,
            )
            try:
                answer = urllib.request.urlopen(request, timeout=30)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                self._answer(answer.status, dict(answer.headers), answer.read())

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *message: object) -> None:
            """Log nothing."""

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/page", told, done
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
