"""The site's parts that need neither a network nor a browser.

``.ci/run site`` builds it and plays every lesson.
"""

import asyncio
import json
import re
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from notebooks import patience, recorded, site
from taskmanager.errors import TaskFailedError
from taskmanager.executors import NO_THREADS, ProcessExecutor
from taskmanager.testing import LoneLoop, VirtualLoop, clocks_of
from tests.helpers import catches_all, gives_way, never_awaits, project_root
from tests.site import answers, chromium


class LoneVirtualLoop(VirtualLoop, LoneLoop):
    """A VirtualLoop as it is in a browser."""


# Without threads


def test_a_lone_loop_runs_on_real_time_and_needs_no_socket() -> None:
    async def story() -> tuple[int, float]:
        begun = asyncio.get_running_loop().time()
        done = await asyncio.to_thread(lambda: 5)
        await asyncio.sleep(0.01)
        return done, asyncio.get_running_loop().time() - begun

    loop = LoneLoop()
    done, took = loop.run_until_complete(story())
    assert loop._csock is None
    loop.close()
    assert done == 5
    assert took >= 0.01


def test_a_lone_virtual_loop_jumps_and_never_waits_for_nothing() -> None:
    loop = LoneVirtualLoop()
    loop.run_until_complete(asyncio.sleep(600))
    assert loop.time() == 600

    with pytest.raises(RuntimeError, match="Nothing is left"):
        loop.run_until_complete(loop.create_future())
    loop.close()


async def test_a_loop_can_run_within_a_call_of_another() -> None:
    me = asyncio.current_task()
    loop = LoneVirtualLoop()
    with patience.set_aside():
        assert loop.run_until_complete(asyncio.sleep(60, "slept")) == "slept"
    loop.close()
    assert asyncio.current_task() is me
    await asyncio.sleep(0)


def test_without_threads_work_for_a_process_fails_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    executor = ProcessExecutor()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(TaskFailedError, match=re.escape(NO_THREADS)):
        executor.submit(int)
    executor.shutdown(cancel_futures=True)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)


async def leaves_one_behind() -> None:
    tasks = [asyncio.create_task(never_awaits())]
    await asyncio.sleep(5)
    assert tasks


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is missing")
@pytest.mark.parametrize(
    ("runaway", "line"),
    [
        (gives_way, r"await asyncio.sleep\(0\)  # gives way"),
        # Which line of the loop it is depends on Python's version.
        (never_awaits, r"turns \+= 1  # works|while True:"),
        (catches_all, r"await asyncio.sleep\(0\)  # catches all"),
        (leaves_one_behind, r"turns \+= 1  # works|while True:"),
    ],
)
async def test_without_threads_what_never_ends_is_ended_by_counts(
    runaway: Any, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "THREADS", False)
    monkeypatch.setattr(patience, "LOOP_TURNS", 1000)
    monkeypatch.setattr(patience, "JUMPS", 1000)
    loop = LoneVirtualLoop()

    def run(coroutine: Any) -> Any:
        with clocks_of(loop):
            return patience.run_in_thread(loop, coroutine, 3600)

    with pytest.raises(patience.TimeStandsStillError, match=f"`({line})`"):
        run(runaway())
    assert run(asyncio.sleep(600, "slept")) == "slept"
    loop.close()


def turns(number: int) -> None:
    while True:
        number += 1  # turns


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is missing")
def test_without_threads_a_plain_answer_that_never_ends_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "THREADS", False)
    monkeypatch.setattr(patience, "JUMPS", 1000)
    with pytest.raises(patience.TimeStandsStillError, match="again and again"):
        patience.run_bounded(turns, 0)
    assert patience.run_bounded(str, 5) == "5"


# Cells that are not run there


def test_what_a_cell_defines_is_told_from_what_it_finds() -> None:
    cell = """
SUM = {"numbers": [1, 2, 3]}
rate = None

async def ask(client):
    inside = await client.get("/")

with lab.server() as port:
    found["direct"] = rate = measure(port)
"""
    assert recorded.names_set_by(cell) == {"SUM", "ask", "found", "port", "rate"}
    namespace: dict[str, Any] = {}
    exec(recorded.definitions_in(cell), namespace)  # noqa: S102
    assert {"SUM", "ask"} <= set(namespace)
    assert "rate" not in namespace


@pytest.mark.parametrize(
    "use",
    [
        bool,
        len,
        iter,
        str,
        lambda value: value.polls,
        lambda value: value["threads"],
        lambda value: value + 1,
        lambda value: value < 2,
        lambda value: value == 2,
        lambda value: value(),
    ],
)
def test_what_was_not_found_cannot_be_used(use: Any) -> None:
    with pytest.raises(recorded.NotRunError):
        use(recorded.NotFound())


def marked() -> list[tuple[str, str]]:
    return [
        (path.stem, "".join(cell["source"]))
        for path in site.lessons()
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if recorded.NOT_HERE in cell["metadata"].get("tags", [])
    ]


NEEDS_A_COMPUTER = re.compile(
    r"lab\.(server|stopped|Served)\(|served\.|subprocess\.run|ThreadPoolExecutor\("
    r"|ProcessPoolExecutor\(|on_a_cluster\((kill_one|poison)"
    r"|measured\((traced|kill_one|cancelled_early)\((?!Inline)"
)


def test_few_cells_are_marked_and_each_needs_a_computer() -> None:
    cells = marked()
    assert 0 < len(cells) <= 20
    for path in site.lessons():
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            calls = NEEDS_A_COMPUTER.search(
                re.sub(r"(?m)^async def .*\n( .*\n|\n)*", "", source)
            )
            if cell["cell_type"] == "code" and calls:
                assert (path.stem, source) in cells, source


# The builder


def test_a_marked_cell_begins_with_the_magic_and_outputs_are_trusted() -> None:
    cell = {
        "cell_type": "code",
        "id": "cell-02",
        "metadata": {"tags": [recorded.NOT_HERE]},
        "outputs": [{"output_type": "stream", "text": "shown"}],
        "source": ["lab.server()\n"],
    }
    notebook = {"cells": [cell]}
    kept = site.recorded_of(notebook)
    assert kept == {recorded.key_of("lab.server()"): cell["outputs"]}

    (made,) = site.for_the_site(notebook)["cells"]
    assert made["source"] == ["%%recorded\n", "lab.server()\n"]
    assert made["metadata"]["trusted"]
    assert site.recorded_of({"cells": [{**cell, "metadata": {}}]}) == {}


def test_the_course_is_one_wheel_which_is_the_same_each_time(tmp_path: Path) -> None:
    first = site.course_wheel(tmp_path).read_bytes()
    wheel = site.course_wheel(tmp_path)
    assert wheel.read_bytes() == first
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"lab.py", "notebooks/lab.py", "taskmanager/api.py"} <= names
    assert "taskmanager/live/page.mjs" in names
    assert not [name for name in names if "__pycache__" in name]


def wheel_of(folder: Path, name: str, needs: str = "") -> Path:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{needs}"
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(f"{name}-1.dist-info/METADATA", metadata)
        archive.writestr(f"{name}-1.dist-info/RECORD", "")
    return path


def test_a_lock_names_its_wheels_and_what_they_need(tmp_path: Path) -> None:
    pytest.importorskip("packaging")
    needs = 'Requires-Dist: Two_2>=1\nRequires-Dist: no; sys_platform == "win32"\n'
    wheels = [wheel_of(tmp_path, "one", needs), wheel_of(tmp_path, "two_2")]
    base = {"info": {"python": "3.14.2"}, "packages": {"numpy": {}}}

    made = site.lock(base, wheels)
    assert made["info"] == base["info"]
    assert set(made["packages"]) == {"one", "two-2"}
    assert made["packages"]["one"]["depends"] == ["two-2"]
    assert made["packages"]["one"]["imports"] == ["one"]
    with pytest.raises(site.MissingError, match="one needs two-2: add it"):
        site.lock(base, wheels[:1])


def test_what_nobody_needs_is_left_out(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, "one")
    assert set(site.needed_of(wheel)) == {"one/__init__.py", "one-1.dist-info/METADATA"}


def test_what_asks_a_terminal_is_replaced_and_a_page_is_cut_off(
    tmp_path: Path,
) -> None:
    wheel = wheel_of(tmp_path, "one", "\n\nA page about it.")
    name = "IPython/terminal/embed.py"
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(name, "import prompt_toolkit")
    kept = site.needed_of(wheel)
    assert kept[name] == site.IN_PLACE[name]
    assert kept["one-1.dist-info/METADATA"].endswith(b"Version: 1")


@pytest.mark.parametrize(
    ("archive", "path"),
    [
        ("one-1-py3-none-any.whl", "lib/python3.14/site-packages/one/a.py"),
        ("python_stdlib.zip", "lib/python314.zip/one/a.py"),
    ],
)
def test_bytecode_takes_the_place_of_the_text_that_was_compiled(
    archive: str, path: str, tmp_path: Path
) -> None:
    compiled = tmp_path / "compiled.zip"
    with zipfile.ZipFile(compiled, "w") as packed:
        packed.writestr(path, b"bytecode")
    files = {"one/a.py": b"text", "one/template.py": b"no Python"}
    found = site.with_bytecode(archive, files, compiled)
    assert found == {"one/a.pyc": b"bytecode", "one/template.py": b"no Python"}


def test_without_node_the_builder_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(site.MissingError, match=r"node is missing.*nodejs\.org"):
        site.compiled_modules({"one.whl": {"one.py": b"one = 1"}}, tmp_path)


def test_what_is_missing_is_said_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(site.MissingError, match=r"npm is missing.*--pyodide"):
        site.pyodide_folder(None)
    with pytest.raises(site.MissingError, match=r"has no pyodide\.asm\.mjs"):
        site.pyodide_folder(tmp_path)

    monkeypatch.setattr(site, "find_spec", lambda name: None)
    with pytest.raises(site.MissingError, match="pip install -r notebooks/requ"):
        site.build(tmp_path / "new")


def test_it_is_served_with_its_types_and_compressed(tmp_path: Path) -> None:
    files = {"a.wasm": "application/wasm", "b.mjs": "text/javascript"}
    for name in files:
        (tmp_path / name).write_bytes(b"0" * 1000)
    with site.server_of(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            for name, kind in files.items():
                url = f"http://127.0.0.1:{server.server_port}/{name}"
                asked = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
                with urllib.request.urlopen(asked, timeout=5) as answer:
                    assert answer.headers["Content-Type"] == kind
                    assert answer.headers["Content-Encoding"] == "gzip"
                    assert len(answer.read()) < 100
                    asked.add_header(
                        "If-Modified-Since", answer.headers["Last-Modified"]
                    )
                with pytest.raises(urllib.error.HTTPError, match="304"):
                    urllib.request.urlopen(asked, timeout=5)
        finally:
            server.shutdown()
            thread.join()


class Request:
    """A request of a page, of so many bytes."""

    def __init__(self, url: str, sent: int = 0) -> None:
        self.url = url
        self._sent = sent

    def sizes(self) -> dict[str, int]:
        return {"responseBodySize": self._sent, "responseHeadersSize": 0}


class Context:
    """What tells of a page's requests."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def on(self, event: str, call: Any) -> None:
        self.told[event] = call


def test_too_large_a_transfer_fails_and_so_does_another_host() -> None:
    context = Context()
    transfer = chromium.Transfer(context)
    finished = context.told["requestfinished"]
    finished(Request("http://127.0.0.1:1/a/b.whl?c=d.js", chromium.TRANSFER))
    assert transfer.checked() == "11,800,000 bytes (.whl 11,800,000)"
    finished(Request("http://127.0.0.1:1/", 1))
    with pytest.raises(AssertionError, match=r"11,800,001 bytes .* are more than"):
        transfer.checked()
    context.told["request"](Request("https://pypi.org/simple"))
    with pytest.raises(AssertionError, match="asks elsewhere"):
        transfer.checked()


def test_a_stand_in_has_the_name_that_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("packaging")
    for name in site.STAND_INS:
        files = site.STAND_INS[name]
        wheel = site.stand_in(tmp_path, name)
        made = site.lock({}, [wheel])["packages"][name]
        assert made["imports"] == ([name] if files else [])
        assert name in site.KERNEL


def test_each_version_is_named() -> None:
    for name in ("requirements-browser.txt", "requirements-site.txt"):
        text = (project_root() / "notebooks" / name).read_text(encoding="utf-8")
        for line in text.splitlines():
            assert re.match(r"#|[\w.\[\]-]+==[\w.]+$", line), line


@pytest.mark.parametrize("lesson", [path.stem for path in site.lessons()])
def test_each_exercise_is_answered_in_the_browser_right_and_wrong(lesson: str) -> None:
    right, wrong, *_ = answers.cells_of(lesson)
    notebook = json.loads((site.NOTEBOOKS / f"{lesson}.ipynb").read_text("utf-8"))
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    asked = set(re.findall(r"check\.\w+\(", text))
    assert asked
    for cell in (right, wrong):
        compile(cell, lesson, "exec")
        assert set(re.findall(r"^check\.\w+\(", cell, re.MULTILINE)) == asked


HERE = ["Right. So it is.\n", "Not yet: it is less.\n"]


@pytest.mark.parametrize(
    ("here", "there", "fault"),
    [
        (HERE, HERE, None),
        (HERE, [HERE[0], "Not yet: it is more.\n"], "there: 'Not yet: it is more"),
        (HERE, [HERE[0], ""], "there: ''"),
        ([HERE[1], HERE[1]], [HERE[1], HERE[1]], "not right here: Not yet"),
        ([HERE[0], HERE[0]], [HERE[0], HERE[0]], "right here: Right."),
        ([*HERE, "It ends."], [*HERE, "It ends."], "what never ends says 'It ends."),
    ],
)
def test_a_browser_that_says_other_words_is_at_fault(
    here: list[str],
    there: list[str],
    fault: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "said_here", lambda: {"a lesson": here})
    found = answers.faults("a lesson", there)
    if fault is None:
        assert not found
    else:
        assert fault in "".join(found)
