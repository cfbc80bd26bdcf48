"""The notebooks and their exercises.

Every notebook runs in order from a new kernel and shows what is
committed. Every exercise's check can tell.
"""

import asyncio
import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

from notebooks import checks, refresh
from tests.helpers import project_root

pytestmark = pytest.mark.slow
# These show times of this machine.
MEASURED = {
    "09-streaming",
    "10-load",
    "11-shutdown-and-faults",
    "12-outgrowing-one-machine",
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
    return "".join(output.get("text", "") for output in cell.get("outputs", []))


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
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/svg+xml" in output.get("data", {}) for output in outputs)

    path = FOLDER / f"{name}.ipynb"
    assert len(notebook.cells) <= 40
    assert path.stat().st_size <= 160_000
    text = nbformat.writes(refresh.normalised(notebook)) + "\n"
    assert text == path.read_text(encoding="utf-8")


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
    solution = getattr(importlib.import_module(f"notebooks.solutions.{module}"), name)
    getattr(importlib.import_module(f"notebooks.checks.{module}"), name)(solution)
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
