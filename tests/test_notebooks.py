"""The notebooks and their exercises.

Every notebook runs in order from a new kernel and shows what is
committed. Every exercise's check can tell.
"""

import asyncio
import contextlib
import html
import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import nbformat
import pytest
from nbclient import NotebookClient

from notebooks import checks, lab, patience, refresh
from tests.helpers import project_root

pytestmark = pytest.mark.slow
# These show times of this machine.
MEASURED = {
    "10-streaming",
    "11-load",
    "12-shutdown-and-faults",
    "14-outgrowing-one-process",
    "15-outgrowing-one-machine",
}
FOLDER = project_root() / "notebooks"
MODULES = sorted(
    path.stem for path in (FOLDER / "checks").glob("*.py") if path.stem != "__init__"
)
for module in MODULES:
    importlib.import_module(f"notebooks.checks.{module}")


@pytest.fixture(scope="session")
def runs() -> dict[str, Any]:
    """Each notebook after a run, or the error that ended it.

    They run from new kernels, two at a time.
    """

    async def run_all() -> list[Any]:
        two = asyncio.Semaphore(2)

        async def one(name: str) -> Any:
            async with two:
                return await refresh.executed(name)

        every = [one(name) for name in refresh.names()]
        return await asyncio.gather(*every, return_exceptions=True)

    return dict(zip(refresh.names(), asyncio.run(run_all()), strict=True))


def wrong_answers(module: str) -> dict[str, list[tuple[object, str]]]:
    """For each exercise: answers, and words of their complaint."""
    found: dict[str, list[tuple[object, str]]] = importlib.import_module(
        f"tests.notebook_answers.{module}"
    ).WRONG
    return found


def shape(cell: Any) -> list[Any]:
    """What kinds of output a cell has."""
    return [
        (output.output_type, *sorted(output.get("data", {})))
        for output in cell.get("outputs", [])
    ]


def printed(cell: Any) -> str:
    """What a cell says in words, be it folded or not."""
    return "".join(
        refresh.text_of(output)
        for output in cell.get("outputs", [])
        if "image/svg+xml" not in output.get("data", {})
    )


def pictures(name: str) -> list[Any]:
    """The outputs of a notebook that are pictures."""
    return [
        output
        for cell in refresh.read(name).cells
        for output in cell.get("outputs", [])
        if "image/svg+xml" in output.get("data", {})
    ]


@pytest.mark.filterwarnings("default")  # Jupyter's own
@pytest.mark.parametrize("name", refresh.names())
def test_a_run_shows_what_is_committed(name: str, runs: dict[str, Any]) -> None:
    if isinstance(runs[name], BaseException):
        raise runs[name]

    for committed, run in zip(refresh.read(name).cells, runs[name].cells, strict=True):
        assert shape(committed) == shape(run), committed.source
        if name not in MEASURED:
            assert printed(committed) == printed(run), committed.source


@pytest.mark.parametrize("name", refresh.names())
def test_it_is_committed_executed_in_order_small_and_with_a_picture(name: str) -> None:
    notebook = refresh.read(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))

    for cell in code:
        assert not [each for each in cell.outputs if each.output_type == "error"], (
            cell.source
        )
    assert pictures(name)

    path = FOLDER / f"{name}.ipynb"
    assert len(notebook.cells) <= 42
    assert path.stat().st_size <= 160_000
    text = nbformat.writes(refresh.normalised(notebook)) + "\n"
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", refresh.names())
def test_what_was_to_be_predicted_is_folded(name: str) -> None:
    notebook = refresh.read(name)
    predictions = [cell for cell in notebook.cells if "**Predict" in cell.source]
    assert len(predictions) >= 4
    for cell in predictions:
        # The question is the last that a learner reads.
        assert re.search(r"\*\*Predict:\*\*(?!.*\n\n)", cell.source, re.DOTALL)

    folded = refresh.outcomes(notebook)
    for cell in folded:
        for output in cell.outputs:
            page = output.data["text/html"]
            assert page.startswith("<details><summary>"), cell.source
            assert " open" not in page.partition(">")[0]
            text = output.data["text/plain"]
            assert html.escape(text, quote=False) in page

    # Each question has an outcome, before the next text.
    positions = [notebook.cells.index(cell) for cell in predictions]
    for position in positions:
        following = itertools.takewhile(
            lambda cell: cell.cell_type == "code", notebook.cells[position + 1 :]
        )
        assert any(cell.outputs for cell in following), notebook.cells[position].source


@pytest.mark.parametrize("name", refresh.names())
def test_each_picture_is_told_in_words(name: str) -> None:
    for output in pictures(name):
        words = output.metadata["image/svg+xml"]["alt"]
        assert 15 <= len(words.split()) <= 80, words

        picture = ElementTree.fromstring(output.data["image/svg+xml"])  # noqa: S314
        assert picture.get("role") == "img"
        svg = "{http://www.w3.org/2000/svg}"
        assert picture.findtext(f"{svg}desc") == words


SLIDER = """
def draw(load: int = 80):
    ax = lab.axes(f"At {load}", "x", "y", alt=f"A chart of {load}")
    ax.plot([0, 1], [0, lab.run(asyncio.sleep(load, load))])
    return ax

lab.sliders(draw, load=range(50, 100, 5))
"""
# In place of a hand on the slider.
MOVE = """
from ipywidgets import IntSlider
from ipywidgets.widgets.widget import _instances as made

[slider] = [each for each in made.values() if isinstance(each, IntSlider)]
print(slider.min, slider.max, slider.step, slider.value, slider.continuous_update)
slider.value = TO
"""
WITHOUT = 'sys.modules["ipywidgets"] = None'


def after_a_run(*sources: str) -> list[Any]:
    """The outputs of these cells, as they are committed."""
    begin = "import asyncio, sys\nimport lab"
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(each) for each in (begin, *sources)]
    client = NotebookClient(
        notebook,
        timeout=60,
        record_timing=False,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(FOLDER)}},
    )
    asyncio.run(client.async_execute())
    return [cell.outputs for cell in refresh.normalised(notebook).cells[1:]]


def titles(outputs: list[Any]) -> list[str]:
    """Of the pictures among them."""
    return [
        re.findall("<title>(.*)</title>", output.data["image/svg+xml"])[0]
        for output in outputs
    ]


@pytest.mark.filterwarnings("default")  # Jupyter's own
@pytest.mark.skipif(not find_spec("ipywidgets"), reason="Jupyter is not installed")
def test_a_slider_draws_anew_and_leaves_the_picture_alone() -> None:
    shown, moved = after_a_run(SLIDER, MOVE.replace("TO", "65"))
    assert titles(shown) == ["At 65"]
    assert printed({"outputs": moved}) == "50 95 5 80 False\n"
    (picture,) = shown
    assert picture.metadata["image/svg+xml"]["alt"] == "A chart of 65"

    (shown,) = after_a_run(SLIDER)
    _, without = after_a_run(WITHOUT, SLIDER)
    assert titles(shown) == ["At 80"]
    assert shown == without


def test_without_ipython_the_picture_is_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "IPython.display", None)

    def draw(load: int = 80) -> Any:
        return f"At {load}"

    assert lab.sliders(draw, load=range(50, 100)) == "At 80"


def test_what_a_widget_leaves_is_not_kept() -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    cell = nbformat.v4.new_code_cell("lab.sliders(draw)")
    cell.outputs = [
        nbformat.v4.new_output("display_data", data=view | {"text/plain": "VBox()"}),
        nbformat.v4.new_output("display_data", data={"image/svg+xml": "<svg/>"}),
    ]
    notebook.cells = [cell]
    normal = refresh.normalised(notebook)
    (output,) = normal.cells[0].outputs
    assert output.data == {"image/svg+xml": "<svg/>"}
    assert "widget" not in nbformat.writes(normal)


@pytest.mark.parametrize("name", refresh.names())
def test_the_laboratory_is_imported_first_and_finds_the_project(name: str) -> None:
    first = next(cell for cell in refresh.read(name).cells if cell.cell_type == "code")
    before, found, after = first.source.partition("import lab\n")
    assert found
    assert not re.search("notebooks|taskmanager", before)
    assert "sys.path" not in first.source
    assert after.startswith("from notebooks.checks import ")


ONE_MODULE = """
import lab
import asyncio
from notebooks import lab as second
import notebooks.lab as third
from notebooks.checks import tour
lab.run(asyncio.sleep(5))
print(lab is second is third is tour.lab, tour.lab.now())
"""
OTHER_WAY_ROUND = """
from notebooks import lab
import asyncio
import lab as second
lab.run(asyncio.sleep(5))
print(lab is second, second.now())
"""


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        # VS Code and nbclient start in the folder of the notebook.
        ("notebooks", ONE_MODULE),
        # A program that stands in the root of the project.
        (".", OTHER_WAY_ROUND),
    ],
)
def test_the_laboratory_is_one_module_with_one_clock(folder: str, code: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project_root() / folder,
        env={name: os.environ[name] for name in os.environ if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout == "True 5.0\n"


@pytest.mark.parametrize("name", refresh.names())
def test_no_stub_passes_its_check(name: str) -> None:
    cells = [
        cell
        for cell in refresh.read(name).cells
        if re.search(r"^check\.\w+\(", cell.source, re.MULTILINE)
    ]
    assert cells
    for cell in cells:
        assert printed(cell).startswith("Not yet: "), cell.source


@pytest.mark.parametrize("name", refresh.names())
def test_links_lead_somewhere_and_line_counts_are_true(name: str) -> None:
    cells = refresh.read(name).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (FOLDER / target).exists(), target
    assert refresh.count_lines(text) == text


def test_the_tour_leads_to_every_other_lesson() -> None:
    *_, last = [
        cell.source
        for cell in refresh.read("00-tour").cells
        if cell.cell_type == "markdown"
    ]
    lessons = re.findall(r"^\| \[(.*)\]\(\1\.ipynb\) \| (.*) \|$", last, re.MULTILINE)
    assert ["00-tour", *(name for name, _ in lessons)] == refresh.names()

    overview = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, question in lessons:
        assert f"]({name}.ipynb) | {question} |" in overview


def test_the_loop_of_forty_lines_has_forty_lines() -> None:
    (cell,) = (
        cell
        for cell in refresh.read("01-event-loop").cells
        if cell.source.startswith("clock = ") and "def run(" in cell.source
    )
    assert len(re.findall(r"^.*\S", cell.source, re.MULTILINE)) == 40


@contextlib.contextmanager
def jupyter(arguments: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Start Jupyter as its command says, and yield how it is reached.

    It finds no browser, no configuration of its user, and a free port.
    """
    apart = {
        f"JUPYTER_{name}_DIR": str(folder / name)
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    with subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, *arguments],
        cwd=project_root(),
        env=os.environ | apart | {"IPYTHONDIR": str(folder)},
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for _ in range(600):
                for file in folder.glob("RUNTIME/jpserver-*.json"):
                    with contextlib.suppress(ValueError, httpx.TransportError):
                        told = json.loads(file.read_text(encoding="utf-8"))
                        httpx.get(f"{told['url']}api")
                        yield told
                        return
                assert process.poll() is None
                time.sleep(0.05)
            raise AssertionError("Jupyter did not start")
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.skipif(not find_spec("jupyterlab"), reason="Jupyter is not installed")
def test_jupyter_opens_every_link(tmp_path: Path) -> None:
    """A browser asks Jupyter for a path below Jupyter's own root."""
    commands = []
    for page in ("README.md", "notebooks/README.md"):
        text = (project_root() / page).read_text(encoding="utf-8")
        commands += re.findall(r"\.venv/bin/jupyter lab ([\w./= -]+)", text)
    command, again = commands
    assert command == again

    targets = {"notebooks/00-tour.ipynb"}
    for name in refresh.names():
        for cell in refresh.read(name).cells:
            if cell.cell_type == "markdown":
                links = re.findall(r"\]\(([^)#:]+)\)", cell.source)
                targets |= {os.path.normpath(f"notebooks/{link}") for link in links}
    assert len(targets) > 30

    with jupyter(command.split(), tmp_path) as told:
        given = {"Authorization": f"token {told['token']}"}
        with httpx.Client(base_url=told["url"], headers=given) as client:
            for target in sorted(targets):
                answer = client.get(f"api/contents/{target}?content=0")
                assert answer.status_code == 200, target


@pytest.mark.filterwarnings("default")  # Jupyter's own
@pytest.mark.skipif(not find_spec("jupyterlab"), reason="Jupyter is not installed")
def test_jupyter_starts_a_notebook_where_it_finds_the_laboratory(
    tmp_path: Path,
) -> None:
    from jupyter_client.blocking import BlockingKernelClient

    notebook = {"path": "notebooks/00-tour.ipynb", "type": "notebook", "name": ""}
    with jupyter(["--ServerApp.root_dir=."], tmp_path) as told:
        given = {"Authorization": f"token {told['token']}"}
        with httpx.Client(base_url=told["url"], headers=given, timeout=30) as http:
            kernel = {"name": "python3"}
            answer = http.post("api/sessions", json=notebook | {"kernel": kernel})
            kernel_id = answer.json()["kernel"]["id"]

        client = BlockingKernelClient()
        client.load_connection_file(
            str(tmp_path / "RUNTIME" / f"kernel-{kernel_id}.json")
        )
        client.start_channels()
        said = []

        def note(message: dict[str, Any]) -> None:
            said.append(message["content"].get("text", ""))

        try:
            client.wait_for_ready(timeout=30)
            client.execute_interactive(ONE_MODULE, output_hook=note, timeout=60)
        finally:
            client.stop_channels()
    assert "".join(said) == "True 5.0\n"


def test_every_check_is_asked_for_in_its_notebook_and_has_its_answers() -> None:
    asked = []
    for name in refresh.names():
        text = "\n".join(cell.source for cell in refresh.read(name).cells)
        module = re.search(r"from notebooks\.checks import (\w+) as check", text)
        assert module, name
        calls = re.findall(r"^check\.(\w+)\(", text, re.MULTILINE)
        asked += [f"{module[1]}.{check}" for check in calls]
    assert sorted(asked) == sorted(checks.CHECKS)

    for module_name in MODULES:
        names = {
            key.removeprefix(f"{module_name}.")
            for key in checks.CHECKS
            if key.startswith(f"{module_name}.")
        }
        assert set(wrong_answers(module_name)) == names


@pytest.mark.parametrize("key", sorted(checks.CHECKS))
def test_a_check_accepts_the_solution_and_tells_wrong_answers(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, name = key.partition(".")
    check = getattr(importlib.import_module(f"notebooks.checks.{module}"), name)
    check(solution_of(key))
    right = re.fullmatch(r"Right\. ([A-Z].+\.)\n", capsys.readouterr().out)
    assert right
    assert len(right[1].split()) <= 25

    wrong = wrong_answers(module)[name]
    assert wrong
    for answer, words in wrong:
        complaint = checks.CHECKS[key](answer)
        assert complaint is not None, answer
        assert words in complaint
        assert str(Path.cwd()) not in complaint


@pytest.mark.parametrize("key", sorted(checks.CHECKS))
def test_a_check_accepts_the_solution_beside_an_application(key: str) -> None:
    """In a lesson, one may run on the same clock."""
    app = lab.start()
    try:
        assert checks.CHECKS[key](solution_of(key)) is None
    finally:
        lab.stop(app)


def test_a_clock_between_two_seconds_makes_no_right_answer_wrong() -> None:
    """Differences of such times are a hair off, as floats."""
    for _ in range(10):
        lab.run(asyncio.sleep(0.1))
        assert (
            checks.CHECKS["shutdown.keep_alive"](solution_of("shutdown.keep_alive"))
            is None
        )


async def nothing_async(*arguments: object) -> None:
    """What a learner may leave of an answer."""


def nothing_plain(*arguments: object) -> None:
    """The same."""


def never_ends(*arguments: object) -> None:
    while True:
        pass


# What fits no exercise, and comes of a misunderstanding or a slip.
SLIPS = {
    "number": 5,
    "nothing": None,
    "text": "5",
    "one": (5,),
    "texts": ("5", "6"),
    "many": (1, 2, 3, 4),
    "set": {1, 2},
    "dots": ...,
    "async def": nothing_async,
    "def": nothing_plain,
    "never ends": never_ends,
    "class": int,
}
RAW = r"cannot unpack|not enough values|too many values|argument of type|Ellipsis|<cor"


def kind(answer: object) -> str:
    if isinstance(answer, type):
        return "class"
    return "function" if callable(answer) else "value"


def solution_of(key: str) -> Any:
    module, _, name = key.partition(".")
    return getattr(importlib.import_module(f"notebooks.solutions.{module}"), name)


@pytest.mark.parametrize(
    ("key", "slip"),
    [
        (key, name)
        for key in sorted(checks.CHECKS)
        for name, slip in SLIPS.items()
        if kind(slip) == kind(solution_of(key))
    ],
)
def test_a_slip_is_told_in_words_and_hangs_nothing(
    key: str, slip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WORK", 0.05)
    monkeypatch.setattr(patience, "LOOK", 0.01)
    complaint = checks.CHECKS[key](SLIPS[slip])
    assert complaint is not None
    assert not re.search(RAW, complaint), complaint
    if not callable(SLIPS[slip]):
        assert re.match("give |put |not 5|that would be a wall|.* none of ", complaint)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (5, "give both numbers, like (3, 5), not 5."),
        ((5,), "give both numbers, like (3, 5), not 1 of them."),
        (("5", "6"), "give both numbers, like (3, 5); '5' is none."),
        ((5, ...), "put two numbers in place of the dots."),
    ],
)
def test_a_pair_is_asked_for(answer: object, words: str) -> None:
    for key in ("tour.requests", "workers.makespans", "load.little"):
        assert checks.CHECKS[key](answer) == words


async def array_in_small_pieces(pages: Iterator[list[dict[str, int]]]) -> Any:
    between = b"["
    for page in pages:
        for record in page:
            yield between + json.dumps(record).encode()
            between = b","
        # Others run, and time passes as well.
        await asyncio.sleep(0.001)
    yield b"[]" if between == b"[" else b"]"


async def in_pieces_by_a_future(
    count: Any, segments: int, executor: Any, report: Any
) -> int:
    found = 0
    for done in range(1, segments + 1):
        found += await asyncio.wrap_future(executor.submit(count, done - 1))
        report(round(100 * done / segments))
    return found


async def handed_out_by_gather(
    pieces: list[Any], attempt: Any, allowed: int = 3
) -> tuple[Any, ...]:
    async def outcome(piece: Any, left: int) -> Any:
        try:
            return await attempt(piece)
        except BrokenExecutor:
            if not left:
                raise
            return await outcome(piece, left - 1)

    outcomes = [outcome(piece, allowed) for piece in pieces]
    return tuple(await asyncio.gather(*outcomes, return_exceptions=True))


def polls_before_it_waits(poll: Any, timeout: float | None, jump: Any) -> Any:
    ready = poll(0)
    if ready:
        return ready
    if timeout is None:
        return poll(None)
    if timeout:
        jump(timeout)
    return []


def trace_by_seconds(lines: list[Any], task_id: str) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = []
    passed = 0.0
    for line in lines:
        if line.get("task_id") == task_id and "dropped" not in line["message"]:
            passed += line.get("seconds", 0)
            found.append((passed, line["to"]))
    return found


def gcra_as_a_list(*arguments: Any) -> Any:
    return list(solution_of("ratelimit.gcra")(*arguments))


async def ids_as_a_tuple(client: Any, submissions: Any) -> Any:
    ids = await solution_of("backpressure.submit_all")(client, submissions)
    return tuple(ids)


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("processes.in_pieces", in_pieces_by_a_future),
        ("outgrowing.hand_out", handed_out_by_gather),
        ("lifecycle.never", "b, d, f"),
        ("lifecycle.never", ["B", "D", "F"]),
        ("streaming.as_array", array_in_small_pieces),
        ("cleanup.select", polls_before_it_waits),
        ("watching.trace_of", trace_by_seconds),
        ("ratelimit.gcra", gcra_as_a_list),
        ("backpressure.submit_all", ids_as_a_tuple),
    ],
)
def test_a_right_answer_in_another_style_is_accepted(key: str, answer: object) -> None:
    assert checks.CHECKS[key](answer) is None


def test_a_call_in_place_of_the_function_is_told() -> None:
    for key in ("tour.run_task", "tour.requests", "ratelimit.hit"):
        complaint = checks.CHECKS[key](nothing_async())
        assert complaint is not None
        assert "give the function, by its name" in complaint


def test_an_async_def_in_place_of_a_plain_one_is_told() -> None:
    complaint = checks.CHECKS["ratelimit.hit"](nothing_async)
    assert complaint is not None
    assert "write a plain def" in complaint


def test_what_a_learner_sees(capsys: pytest.CaptureFixture[str]) -> None:
    @checks.exercise("One and one are two.")
    def is_two(answer: int) -> None:
        # No assert: pytest would add its own words to it.
        if answer != 2:
            raise AssertionError(f"{answer} is not two.")

    del checks.CHECKS[f"{__name__.rpartition('.')[2]}.is_two"]
    for answer in (2, 3):
        is_two(answer)
    assert capsys.readouterr().out == (
        "Right. One and one are two.\nNot yet: 3 is not two.\n"
    )
