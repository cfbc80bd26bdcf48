"""The live page, played in a browser.

What that takes is installed by ``.ci/run live``.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from taskmanager.watch import FILES
from tests.helpers import SUM, Server, project_root, uvicorn
from tests.live.browser import AXE, PICTURES, PRETTIER, executable, launched, opened

pytest.importorskip("playwright", reason="python -m pip install playwright")
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(executable() is None, reason="there is no Chromium"),
    pytest.mark.skipif(not AXE.exists(), reason="python -m tests.live install"),
    pytest.mark.skipif(sys.platform == "win32", reason="stops servers by signals"),
]

WIDTHS = (320, 800, 1440)
SCHEMES = ("light", "dark")
HOSTILE = (
    "<script>document.title = 'hurt'</script>",
    "<img src=x onerror=\"document.title = 'hurt'\">",
    "\u202eright to left\u2066 and back",
    "\u6f22" * 200,
    "W" * 200,
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/live"


def unexpected(page: Any) -> list[str]:
    """What the page logged, but for the refusals of its requests."""
    return [text for text in page.told if "status of 4" not in text]


def until(page: Any, condition: str) -> None:
    """Wait until this JavaScript is true.

    Playwright's own way would evaluate it as the page, whose policy
    forbids that.
    """
    for _ in range(1000):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(10)
    raise AssertionError(condition)


def board(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{server.port}/events", timeout=10
    ) as stream:
        line = stream.readline().decode()
    found: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return found


def test_a_task_is_submitted_watched_and_looked_at(browser: Any) -> None:
    with (
        uvicorn(WORK_SCALE="0.3") as server,
        opened(browser, address(server)) as page,
    ):
        page.fill("#report-title", "My figures")
        page.click("[data-type=generate_report]")
        page.wait_for_selector("#lanes .type:text('generate_report')")
        # The board may show it before the answer to the page is there.
        page.wait_for_selector("#lanes .name:text('My figures')")
        page.wait_for_selector("#lanes [role=progressbar]:not([aria-valuenow='0'])")

        page.wait_for_selector("#ended .completed")
        page.click("#ended button")
        page.wait_for_selector("#seen:not([hidden])")
        assert json.loads(page.inner_text("#seen"))["status"] == "completed"
        assert "no rate limit" in page.inner_text("#left")

        assert unexpected(page) == []
        base = address(server).removesuffix("live")
        assert all(url.startswith((base, "data:")) for url in page.asked)
        assert sum(url.endswith("/events") for url in page.asked) == 1


def test_the_keyboard_alone_submits_and_cancels(browser: Any) -> None:
    with uvicorn() as server, opened(browser, address(server)) as page:

        def tab_to(name: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                label, text = page.evaluate(
                    "(({ ariaLabel, textContent }) => [ariaLabel, textContent.trim()])"
                    "(document.activeElement)"
                )
                if (label or text).startswith(name):
                    return
            raise AssertionError(name)

        tab_to("generate_report")
        page.keyboard.press("Enter")
        page.wait_for_selector("#lanes .type")
        tab_to("Cancel generate_report")
        # What changes around it leaves it the focus.
        page.wait_for_selector("#lanes [role=progressbar][aria-valuenow='6']")
        label = "document.activeElement.getAttribute('aria-label')"
        assert page.evaluate(label).startswith("Cancel generate_report")

        page.keyboard.press("Enter")
        page.wait_for_selector("#ended .cancelled")
        focused = page.evaluate("document.activeElement.textContent")
        assert focused == "Workers"
        assert server.request("/health")["processing"] == 0


WATCH_MARKS = """
window.gone = [];
window.answered = [];
new MutationObserver((changes) => {
    for (const change of changes)
        for (const _ of change.removedNodes) gone.push(performance.now());
}).observe(document.getElementById("marks"), { childList: true });
const before = window.fetch;
window.fetch = async (...all) => {
    const sent = performance.now();
    const answer = await before(...all);
    if (answer.status === 202) answered.push((sent + performance.now()) / 2);
    return answer;
};
"""


def test_a_flood_is_refused_and_each_mark_leaves_when_it_should(browser: Any) -> None:
    with (
        uvicorn(RATE_LIMIT="10", RATE_WINDOW="6", WORK_SCALE="0.1") as server,
        opened(browser, address(server)) as page,
    ):
        page.evaluate(WATCH_MARKS)
        page.click("#flood")
        page.wait_for_selector("#refusal:not([hidden])")
        until(page, "document.querySelectorAll('#marks li').length === 10")
        assert page.inner_text("#left") == "0 of 10 requests are left."
        # One place says when the next is accepted, and counts down.
        assert "is accepted in" in page.inner_text("#countdown")
        assert "accepted" not in page.inner_text("#refusal-text")
        assert "Retry-After" in page.inner_text("#refusal-text")
        assert "client like any other" in page.inner_text("#refusal-text")

        until(page, "gone.length === 10")
        gone = page.evaluate("gone")
        answered = page.evaluate("answered")
        late = [
            left - accepted - 6000
            for left, accepted in zip(sorted(gone), sorted(answered), strict=True)
        ]
        assert -100 < min(late) <= max(late) < 100, late
        assert page.inner_text("#left") == "10 of 10 requests are left."
        page.wait_for_selector("#countdown:text('accepted now')")
        assert unexpected(page) == []


def test_the_queue_is_in_the_order_of_the_board(browser: Any) -> None:
    with uvicorn(WORKERS="1") as server, opened(browser, address(server)) as page:
        for priority in ("normal", "low", "high", "low", "normal", "high", "normal"):
            server.request("/tasks", SUM | {"priority": priority})
        until(page, "document.querySelectorAll('#queue li').length === 6")
        ids = "[...document.querySelectorAll('#queue li')].map((li) => li.dataset.key)"
        shown = page.evaluate(ids)
        queued = [task["task_id"] for task in board(server)["queue"]]
        assert len(queued) == 6
        assert shown == queued

        # The bars, whose ends are the places.
        ends = page.evaluate(
            "[...document.querySelectorAll('#queue .track span')].map("
            "(bar) => parseFloat(bar.style.left) + parseFloat(bar.style.width))"
        )
        assert ends == sorted(ends)


def test_a_server_that_is_started_again_is_found(browser: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        _, port = free.getsockname()
    with (
        uvicorn("--port", str(port)) as server,
        opened(browser, address(server)) as page,
    ):
        server.stop()
        page.wait_for_selector("#connection:not(.open)")
        page.wait_for_selector("#connection:text('tries again')")
        with uvicorn("--port", str(port)):
            begun = time.monotonic()
            page.wait_for_selector("#connection.open")
            assert time.monotonic() - begun < 5
            page.click("[data-type=compute_sum]")
            page.wait_for_selector("#lanes .type")


@pytest.mark.parametrize("status", [200, 429, 500, 503])
def test_after_any_status_it_comes_again_by_retry_after(
    browser: Any, status: int
) -> None:
    with uvicorn() as server, opened(browser, address(server)) as page:
        headers = {"Retry-After": "2"}
        page.route(
            "**/events", lambda route: route.fulfill(status=status, headers=headers)
        )
        page.reload()
        page.wait_for_selector("#connection:text('in 2 s')")
        page.unroute("**/events")
        page.wait_for_selector("#connection.open")


def test_after_204_it_stops(browser: Any) -> None:
    with uvicorn() as server, opened(browser, address(server)) as page:
        page.route("**/events", lambda route: route.fulfill(status=204))
        page.reload()
        page.wait_for_selector("#connection:text('no more')")
        asked = len(page.asked)
        time.sleep(2.5)
        assert len(page.asked) == asked


def test_a_hidden_tab_has_no_stream(browser: Any) -> None:
    with uvicorn() as server, opened(browser, address(server)) as page:

        def hide(hidden: str) -> None:
            page.evaluate(
                "Object.defineProperty(document, 'hidden', "
                f"{{ value: {hidden}, configurable: true }});"
                "document.dispatchEvent(new Event('visibilitychange'))"
            )

        ended: list[str] = []
        page.on("requestfailed", lambda request: ended.append(request.url))
        hide("true")
        page.wait_for_timeout(300)
        assert [url.rpartition("/")[2] for url in ended] == ["events"]
        asked = len(page.asked)
        page.wait_for_timeout(2000)
        assert len(page.asked) == asked
        hide("false")
        page.wait_for_timeout(300)
        assert page.asked[asked:] == ended
        page.wait_for_selector("#connection.open")


def test_what_users_wrote_is_text(browser: Any) -> None:
    with (
        uvicorn() as server,
        opened(
            browser, address(server), viewport={"width": 320, "height": 800}
        ) as page,
    ):
        for title in HOSTILE:
            page.fill("#report-title", title)
            page.click("[data-type=generate_report]")
            page.wait_for_selector("#answer:text('202 Accepted')")
            page.fill("#report-title", "")
            page.click("[data-type=generate_report]")  # refused, and told
            page.wait_for_selector("#answer:text('400')")

        until(page, "document.querySelectorAll('#lanes .name').length === 5")
        names = (
            "[...document.querySelectorAll('#lanes .name')].map((n) => n.textContent)"
        )
        # A name comes with the answer, which the board may overtake.
        until(page, f"{names}.every(Boolean)")
        assert sorted(page.evaluate(names)) == sorted(HOSTILE)
        assert page.title() == "Task manager, live"
        assert page.evaluate("document.querySelectorAll('#lanes img').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        assert unexpected(page) == []


def test_motion_is_reduced_where_that_is_wished(browser: Any) -> None:
    with (
        uvicorn(RATE_LIMIT="10") as server,
        opened(browser, address(server), reduced_motion="reduce") as page,
    ):
        page.click("[data-type=compute_sum]")
        page.wait_for_selector("#marks li")
        assert page.evaluate(
            "document.querySelector('#marks li').getAnimations()[0]"
            ".effect.getTiming().easing"
        ).startswith("steps(60")
        page.wait_for_selector("#lanes .track")
        assert page.evaluate(
            "getComputedStyle(document.querySelector('#lanes .track span'))"
            ".transitionDuration"
        ) in ("0s", "")


def test_it_works_below_a_root_path(browser: Any) -> None:
    with uvicorn("--root-path", "/api") as server:
        context = browser.new_context()
        # As the proxy does that has it below this path.
        origin = f"http://127.0.0.1:{server.port}"
        context.route(
            f"{origin}/api/**",
            lambda route: route.continue_(url=route.request.url.replace("/api", "")),
        )
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{origin}/api/live")
        page.wait_for_selector("#connection.open")
        page.click("[data-type=compute_sum]")
        page.wait_for_selector("#lanes .type")
        context.close()
        assert f"{origin}/api/tasks" in asked
        assert all(url.startswith((f"{origin}/api/", "data:")) for url in asked)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_and_it_fits(browser: Any, scheme: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        uvicorn(RATE_LIMIT="10", WORKERS="3") as server,
        # What comes in by fading has too little contrast on its way.
        opened(
            browser, address(server), color_scheme=scheme, reduced_motion="reduce"
        ) as page,
    ):
        page.click("[data-type=simulate_failure]")
        page.click("[data-type=generate_report]")
        page.select_option("#priority", "low")
        page.click("[data-type=compute_sum]")
        page.wait_for_selector("#lanes .low")
        page.click("#flood")
        page.wait_for_selector("#refusal:not([hidden])")
        page.click("#lanes .low button")  # refused
        page.wait_for_selector("#ended .failed")
        page.wait_for_timeout(700)  # it has come in

        # As a tool of the browser may, whatever the policy says.
        page.evaluate(AXE.read_text(encoding="utf-8"))
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(100)
            found = page.evaluate("axe.run()")
            told = [
                (each["id"], each["nodes"][0]["html"], each["help"])
                for each in found["violations"]
            ]
            picture = page.screenshot(full_page=True)
            (PICTURES / f"{width}-{scheme}.png").write_bytes(picture)
            assert told == []
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_prettier_has_nothing_to_change() -> None:
    node = shutil.which("node")
    assert node is not None
    folder = project_root() / "taskmanager" / "live"
    files = [str(folder / name) for name in FILES]
    done = subprocess.run(
        [node, str(PRETTIER), "--print-width", "88", "--check", *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
