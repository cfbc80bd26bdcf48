"""The README does not rot.

Its session, its code, its tables and its steps are run, or held against
the code.
"""

import asyncio
import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

from taskmanager.api import create_app
from taskmanager.settings import Settings
from tests import readme
from tests.helpers import SUM, UNKNOWN, serving, settings
from tests.syntax import PACKAGE

TEXT = readme.README.read_text(encoding="utf-8")
VARYING = [
    (readme.UUID, "ID"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"(?<=;t=)\d+|(?<=retry-after: )\d+|(?<=accepted in )\d+", "N"),
    (r"(?<=\"progress\":)\d\d?(?=,\"queue_position\":null,\"result\":null)", "N"),
]
SERVE = (
    "python3 -m venv .venv && "
    ".venv/bin/pip install -r taskmanager/requirements.txt && "
    ".venv/bin/python main.py"
)
TEST = (
    "python3 -m venv .venv && "
    ".venv/bin/pip install -r requirements.txt && "
    ".venv/bin/python -m pytest"
)
# What git does not track, or is git itself.
NOT_COPIED = [
    ".git",
    ".venv",
    "venv",
    "mutants",
    "htmlcov",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
]


@pytest.fixture(autouse=True)
def not_in_debug_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """There a program says, too, when the machine was slow."""
    monkeypatch.delenv("PYTHONASYNCIODEBUG", raising=False)


def same_on_every_run(text: str) -> str:
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


def run(arguments: list[str], folder: Path, seconds: float = 60) -> str:
    """What Python prints, run so in this folder; a failure shows it."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
@pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("curl"),
    reason="the session needs a shell and curl",
)
def test_the_session_prints_what_the_readme_shows(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")

    commands, output = readme.session(TEXT)
    with readme.server(WORK_SCALE="0.1") as address:
        printed = readme.run_session(commands, address, shell)
    assert same_on_every_run(printed) == same_on_every_run(output)


def test_the_session_can_be_pasted() -> None:
    commands, _ = readme.session(TEXT)
    # In a zsh at a terminal, the one begins no comment, and in most
    # shells there, the other recalls an old command.
    assert not set("#!") & set(commands)


def program(title: str) -> str:
    """The first Python program below this title, or this sentence."""
    _, _, section = TEXT.partition(title)
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def run_program(code: str, folder: Path) -> str:
    """What a program prints that somebody saved and started."""
    file = folder / "program.py"
    file.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, file],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(readme.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


EMBEDDED = "Without HTTP, the engine runs in any program or notebook"


def test_the_python_program_prints_what_the_readme_says(tmp_path: Path) -> None:
    shown = re.search(r"\n\nIt prints `(.*?)`", TEXT)
    assert shown is not None
    assert run_program(program(EMBEDDED), tmp_path).strip() == shown[1]


@pytest.mark.slow
def test_the_python_program_does_real_work_once(tmp_path: Path) -> None:
    sum_of_three = '{"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}'
    primes = '{"task_type": "count_primes", "parameters": {"limit": 100}}'
    code = program(EMBEDDED)
    assert sum_of_three in code

    printed = run_program(code.replace(sum_of_three, primes), tmp_path)
    assert printed == "completed {'count': 25}\n"


@pytest.mark.slow
def test_the_program_of_the_client_prints_what_the_readme_shows(
    tmp_path: Path,
) -> None:
    title = "## A client that behaves"
    _, _, section = TEXT.partition(title)
    shown = re.search(r"```text\n(.*?)```", section, re.DOTALL)
    assert shown is not None

    with readme.server(WORK_SCALE="0.1") as address:
        code = program(title).replace("localhost:8000", address)
        assert run_program(code, tmp_path) == shown[1]


ORIGIN = "https://app.example.org"


class Uvicorn(uvicorn.Server):
    capture_signals = contextlib.nullcontext  # type: ignore[assignment]


@contextlib.asynccontextmanager
async def with_cors(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the README's application for other origins."""
    main = SimpleNamespace(app=create_app(settings(rate_limit=3)))
    monkeypatch.setitem(sys.modules, "main", main)
    names: dict[str, Any] = {}
    code = program("## From a page of another origin")
    exec(code, names)  # noqa: S102 - the README's own program

    config = uvicorn.Config(names["app"], port=0, log_config=None, lifespan="on")
    server = Uvicorn(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)

    (listening,) = server.servers
    (listener,) = listening.sockets
    _, port = listener.getsockname()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        server.should_exit = True
        await serving


async def test_a_page_of_another_origin_may_call_and_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preflight = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,idempotency-key",
    }
    own = {"Origin": ORIGIN, "Idempotency-Key": '"k"'}
    async with with_cors(monkeypatch) as client:
        # What a browser asks first is free.
        for _ in range(10):
            allowed = await client.options("/tasks", headers=preflight)
            assert allowed.status_code == 200
            assert "ratelimit" not in allowed.headers
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        assert "DELETE" in allowed.headers["access-control-allow-methods"]
        assert "Idempotency-Key" in allowed.headers["access-control-allow-headers"]

        answers = [
            await client.post("/tasks", json=SUM, headers=own),
            await client.get("/tasks", headers=own),
            await client.delete(f"/tasks/{UNKNOWN}", headers=own),
            await client.get("/tasks", headers=own),
            await client.get("/nothing", headers=own),
        ]
        assert [answer.status_code for answer in answers] == [
            202,
            200,
            404,
            429,
            404,
        ]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert exposed == [
                "Location",
                "Retry-After",
                "RateLimit",
                "RateLimit-Policy",
            ]

        # Other origins get nothing that their browser would let them
        # read.
        other = {"Origin": "https://example.com"}
        refused = await client.options("/tasks", headers=preflight | other)
        assert refused.status_code == 400
        answer = await client.get("/health", headers=other)
        assert "access-control-allow-origin" not in answer.headers


async def test_without_that_no_page_of_another_origin_may() -> None:
    async with serving() as client:
        answer = await client.get("/health", headers={"Origin": ORIGIN})
        assert not [name for name in answer.headers if name.startswith("access-")]


@pytest.mark.slow
def test_the_test_on_virtual_time_passes(tmp_path: Path) -> None:
    code = program("## Virtual time in your own tests")
    (tmp_path / "test_own.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "test_own.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(readme.ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "1 passed" in run.stdout, run.stdout


def test_the_table_of_modules_is_up_to_date() -> None:
    assert readme.modules_table() in TEXT, "run python -m tests.readme"


def test_the_table_of_settings_has_every_setting() -> None:
    _, _, section = TEXT.partition("## Settings")
    rows = re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)
    fields = dataclasses.fields(Settings)
    assert rows == [field.name.upper() for field in fields]


def test_the_table_of_settings_has_every_default() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\d.]+) \|", TEXT, re.MULTILINE)
    shown = {name: float(value) for name, value in rows}
    defaults = {
        field.name.upper(): field.default
        for field in dataclasses.fields(Settings)
        if isinstance(field.default, int | float)
    }
    assert shown == defaults


def tools() -> list[tuple[str, str]]:
    """The rows of the table of the exercise's tools."""
    _, section = TEXT.split("### Where the exercise's tools are")
    section, *_ = section.split("\n## ")
    return re.findall(r"^\| (.*`.*|.* .*) \| (.*`.*) \|$", section, re.MULTILINE)


@pytest.mark.parametrize(("tool", "where"), tools())
def test_a_tool_of_the_exercise_is_where_the_readme_says(tool: str, where: str) -> None:
    files = re.findall(r"`(\w+\.py)`", where)
    texts = [(PACKAGE / file).read_text(encoding="utf-8") for file in files]

    for module, name in re.findall(r"`(asyncio|collections)\.(\w+)`", tool):
        used = rf"\b{module}\.{name}\b|from {module} import .*\b{name}\b"
        assert all(re.search(used, text) for text in texts), name
    for name in re.findall(r"`(\w+)`", where):
        assert any(re.search(rf"\b{name}\b", text) for text in texts), name


def test_the_table_of_tools_has_all_that_the_exercise_asks_for() -> None:
    assert len(tools()) == 12


# The commands of Start


def test_both_commands_set_up_the_same_environment() -> None:
    assert re.findall(r"```sh\n(python3 .* && .*)\n```", TEXT) == [SERVE, TEST]


def requirements(name: str) -> Iterator[str]:
    """The packages that a file of requirements names.

    With them come those of the files that it includes.
    """
    path = readme.ROOT / name
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            included = path.parent / line.removeprefix("-r ")
            yield from requirements(str(included.relative_to(readme.ROOT)))
        elif line and not line.startswith("#"):
            yield re.split("[<>=]", line)[0]


def test_what_serves_is_among_what_tests() -> None:
    serving = list(requirements("taskmanager/requirements.txt"))
    assert serving == ["fastapi", "pydantic", "uvicorn", "fastapi-offline"]
    everything = list(requirements("requirements.txt"))
    assert set(serving) < set(everything)
    assert len(everything) == len(set(everything))


def test_tools_of_form_and_types_are_installed_by_ci_alone() -> None:
    tools = list(requirements(".ci/requirements.txt"))
    assert {"ruff", "mypy"} <= set(tools)
    assert not set(tools) & set(requirements("requirements.txt"))


# Beside the README

PAGES = sorted(
    page.relative_to(readme.ROOT)
    for folder in [".", "taskmanager", "tests", "benchmarks", "notebooks"]
    for page in (readme.ROOT / folder).glob("*.md")
)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = (readme.ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (readme.ROOT / page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_of_a_page_run_modules_that_there_are(page: Path) -> None:
    text = (readme.ROOT / page).read_text(encoding="utf-8")
    ours = r"python -m\s((?:tests|notebooks|benchmarks)[\w.]*)"
    for module in re.findall(ours, text):
        assert find_spec(module), module


# How to add a task type


@pytest.fixture(scope="module")
def with_another_type(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the README's steps were done."""
    copy = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(readme.ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    steps = re.findall(
        r"^\d\. .+?before the line `(.+?)`:\n\n   ```python\n(.*?)^   ```",
        TEXT,
        re.MULTILINE | re.DOTALL,
    )
    assert len(steps) == 2

    file = copy / "taskmanager" / "task_types.py"
    for line, code in steps:
        text = file.read_text(encoding="utf-8")
        assert text.count(f"\n{line}\n") == 1
        added = "".join(row[3:] or "\n" for row in code.splitlines(keepends=True))
        text = text.replace(f"\n{line}\n", f"\n{added}{line}\n")
        file.write_text(text, encoding="utf-8")
    run(["-m", "tests.readme", "tables"], copy)
    return copy


ITS_OWN_TEST = """
import asyncio

from taskmanager import Settings, TaskManager
from taskmanager.schemas import EXAMPLES


async def main():
    async with TaskManager(Settings(work_scale=0)) as manager:
        task = manager.submit(EXAMPLES["reverse_text"]["value"])
        await manager.wait(task.task_id, since=2)
        print(task.status.value, task.result)


asyncio.run(main())
"""


@pytest.mark.slow
def test_the_steps_that_add_a_task_type_add_one(with_another_type: Path) -> None:
    printed = run(["-c", ITS_OWN_TEST], with_another_type)
    assert printed == "completed {'text': 'desserts'}\n"


@pytest.mark.slow
def test_after_them_the_tests_of_a_contributor_pass(with_another_type: Path) -> None:
    modules = ["house", "task_types", "openapi", "api", "readme"]
    files = [f"tests/test_{module}.py" for module in modules]
    quick = ["-p", "no:cacheprovider", "-m", "not slow"]
    run(["-m", "pytest", *quick, *files], with_another_type, seconds=120)


@pytest.mark.slow
@pytest.mark.skipif(
    not find_spec("ruff"), reason="pip install -r .ci/requirements.txt has ruff"
)
def test_after_them_ruff_finds_nothing(with_another_type: Path) -> None:
    run(["-m", "ruff", "check", "--no-cache", "taskmanager"], with_another_type)
    run(
        ["-m", "ruff", "format", "--no-cache", "--check", "taskmanager"],
        with_another_type,
    )


def test_the_button_is_there_where_the_site_has_an_address() -> None:
    with_one = readme.with_button(TEXT, "https://example.org/course/")
    assert "](https://example.org/course/)" in with_one.partition("## Start")[0]
    assert readme.with_button(with_one, "") == readme.with_button(TEXT, "")
