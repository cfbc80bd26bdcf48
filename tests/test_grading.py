"""The grading itself: foreign code may be odd, and the map has no hole.

What is wrong with a command is said.
"""

import ast
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import bodies, card, pythons
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX, grade
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import REQUIREMENTS, Requirement, Verdict, load_all
from tests.conformance.solution import Solution, SolutionError
from tests.conformance.toml import loads
from tests.helpers import project_root

load_all()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN_GRADE, reason=NEEDS_POSIX),
]
CONFORMANCE = project_root() / "tests" / "conformance"


# How the tests grade


def saved(folder: Path, source: str, **named: Any) -> Solution:
    """The solution whose source this is.

    ``named`` is what its TOML file would say.
    """
    (folder / "solution.py").write_text(source, encoding="utf-8")
    chosen = {"app": "solution:app", "app_dir": str(folder)} | named
    return Solution(**chosen)


def verdicts_on(solution: Solution, requirements: list[Requirement]) -> list[Verdict]:
    """The verdicts on these requirements, in their order."""
    verdicts = dict(grade([(solution, requirement) for requirement in requirements]))
    return [verdicts[index] for index in range(len(requirements))]


def played(folder: Path, source: str, *names: str, **named: Any) -> list[Verdict]:
    """The verdicts on requirements of these names."""
    requirements = [REQUIREMENTS[name] for name in names]
    return verdicts_on(saved(folder, source, **named), requirements)


def preflight(folder: Path, source: str, **named: Any) -> Verdict:
    [verdict] = verdicts_on(saved(folder, source, **named), [PREFLIGHT])
    return verdict


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the grading's own command."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "tests/conformance", *arguments],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=120,
    )


# The map, and what a requirement points to


def test_the_map_of_the_exercise_has_no_hole() -> None:
    text = (CONFORMANCE / "README.md").read_text(encoding="utf-8")
    _, _, table = text.partition("<!-- map -->")
    rows = re.findall(
        r"^\| (?!the exercise says|---)(.+) \| (.+) \|$", table, re.MULTILINE
    )
    mapped = [name for _, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(mapped) == sorted(REQUIREMENTS)


def names_defined_in(path: Path) -> set[str]:
    """The functions, methods, classes and constants of a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Assign():
                names |= {ast.unparse(target) for target in node.targets}
            case ast.AnnAssign():
                names.add(ast.unparse(node.target))
    return names


@pytest.mark.parametrize(
    "requirement", [PREFLIGHT, *load_all()], ids=lambda requirement: requirement.name
)
def test_what_explains_a_requirement_exists(requirement: Requirement) -> None:
    root = project_root()
    learn = requirement.learn
    notebooks = re.findall(r"notebook (\d\d-[\w-]+)", learn)
    for notebook in notebooks:
        assert (root / "notebooks" / f"{notebook}.ipynb").exists()

    paths = re.findall(r"\w+/(?:\w+\.py)?|README\.md|pyproject\.toml", learn)
    for path in paths:
        assert (root / path).exists()

    for path, name in re.findall(r"(\w+/\w+\.py): (\w+)", learn):
        assert name in names_defined_in(root / path)

    sections = re.findall(r"README, on (\w+)", learn)
    headings = re.findall(
        r"^#+ (.+)$", (root / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    for section in sections:
        assert any(section in heading.lower() for heading in headings)

    assert notebooks or paths or sections


# The TOML file and the command line


def test_the_readme_explains_each_key_of_the_toml_file_with_its_default(
    tmp_path: Path,
) -> None:
    text = (CONFORMANCE / "README.md").read_text(encoding="utf-8")
    example, *_ = re.findall(r"```toml\n(.+?)```", text, re.DOTALL)
    file = tmp_path / "solution.toml"
    file.write_text(example, encoding="utf-8")

    shown = Solution.read(file)
    assert shown.app == "your.module:app"
    assert shown.app_dir == str(tmp_path / "path/to/your/project")

    default = Solution()
    for field in vars(default):
        if field not in ("app", "app_dir"):
            assert getattr(shown, field) == getattr(default, field), field


def test_a_toml_file_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "solution.toml"

    file.write_text("quik = 1")
    unknown = "unknown key 'quik'; there are app, app_dir, "
    with pytest.raises(SolutionError, match=unknown):
        Solution.read(file)

    file.write_text("quick = ")
    with pytest.raises(SolutionError, match=re.escape(str(file))):
        Solution.read(file)

    with pytest.raises(SolutionError, match="No such file"):
        Solution.read(tmp_path / "missing.toml")

    file.write_text('path = "tasks"')
    no_slash = "path is to begin with a slash, not 'tasks'"
    with pytest.raises(SolutionError, match=no_slash):
        Solution.read(file)

    for key in ("invalid", "bad_parameters"):
        file.write_text(f"{key} = []")
        with pytest.raises(SolutionError, match=f"{key} is to name at least one"):
            Solution.read(file)

    for twice in ('cancelled = "failed"', 'error = "status"', 'high = "low"'):
        file.write_text(twice)
        with pytest.raises(SolutionError, match="are to be called apart, not two"):
            Solution.read(file)

    file.write_text('no_slow = "none"')
    with pytest.raises(SolutionError, match="unknown key 'no_slow'"):
        Solution.read(file)

    file.write_text('app = "a:b"')
    assert Solution.read(file, app="c:d").app == "c:d"


@pytest.mark.parametrize("app", ["", "main", "main:", ":app"])
def test_an_application_that_is_not_named_as_it_should_be(app: str) -> None:
    with pytest.raises(
        SolutionError, match=f"MODULE:NAME, such as main:app, not '{app}'"
    ):
        Solution.read(None, app=app)


def test_a_file_in_place_of_a_module_is_told_how_to_be_named() -> None:
    told = "not its file: main:app, and its folder with --app-dir"
    with pytest.raises(SolutionError, match=re.escape(told)):
        Solution.read(None, app="src/main.py:app")


def test_another_quick_task_may_have_any_result(tmp_path: Path) -> None:
    file = tmp_path / "solution.toml"
    file.write_text('quick = { task_type = "send_email" }')
    assert Solution.read(file).result is None

    file.write_text('quick = { task_type = "send_email" }\nresult = "sent"')
    assert Solution.read(file).result == "sent"


# What cannot be played


@pytest.mark.parametrize(
    ("source", "happened"),
    [
        (
            "import no_such_module",
            "ModuleNotFoundError: No module named 'no_such_module' "
            "(solution.py, line 1)",
        ),
        ("x = 1", "no 'app'; its applications are: none"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_an_application_that_cannot_be_imported(
    tmp_path: Path, source: str, happened: str
) -> None:
    [verdict] = played(tmp_path, source, "submit_answers_202")
    assert verdict.mark == "failed"
    assert happened in verdict.happened


@pytest.mark.parametrize(
    ("source", "happened"),
    [
        ("app = [1]", "it is [1]"),
        (
            "def app(environ, start_response): pass",
            "takes (environ, start_response) and not (scope, receive, send): "
            "it is a WSGI application, such as Flask's",
        ),
        ("async def app(): pass", "no server awaits an async factory"),
        ("def app(): return 5", "it is 5"),
    ],
)
def test_what_is_no_asgi_application_is_told_so(
    tmp_path: Path, source: str, happened: str
) -> None:
    verdict = preflight(tmp_path, source)
    expected = "solution:app to be an ASGI application, such as FastAPI()"
    assert verdict.expected == expected
    assert happened in verdict.happened


def test_another_python_is_named_where_the_import_fails_for_it(tmp_path: Path) -> None:
    # There is none such in any Python.
    [missing] = played(tmp_path, "import no_such_module", "submit_answers_202")
    assert "it needs Python" not in missing.happened

    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nrequires-python = '>=3.99'\n", encoding="utf-8")
    [told] = played(tmp_path, "import no_such_module", "submit_answers_202")
    major, minor, *_ = sys.version_info
    assert f"it needs Python 3.99 or later, and this is {major}.{minor}" in (
        told.happened
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("from typing import override", "3.12 or later"),
        ("from asyncio import timeout", "3.11 or later"),
        ("import tomllib", "3.11 or later"),
        ("type Number = int", "3.12 or later"),
        ("def first[T](x: list[T]) -> T: ...", "3.12 or later"),
        ("class Box[T]: ...", "3.12 or later"),
        ("import asyncore", "3.11 or earlier"),
    ],
)
def test_which_python_a_failed_import_asks_for(
    tmp_path: Path, source: str, wanted: str
) -> None:
    version, _, direction = wanted.partition(" or ")
    [_, minor] = map(int, version.split("."))
    can_read_it = sys.version_info.minor <= minor
    if direction == "later":
        can_read_it = sys.version_info.minor >= minor

    module = tmp_path / "solution.py"
    module.write_text(source, encoding="utf-8")
    told = ""
    try:
        runpy.run_path(str(module))
    except (ImportError, SyntaxError) as error:
        told = pythons.advice(error, tmp_path)
    assert bool(told) is not can_read_it
    assert can_read_it or f"it needs Python {wanted}" in told


HANGING = """
from fastapi import FastAPI
app = FastAPI()
@app.post('/tasks')
async def submit():
    HANG
"""


def hanging(how: str) -> str:
    return HANGING.strip().replace("HANG", how)


@pytest.mark.parametrize(
    ("how", "happened"),
    [
        ("while True: pass", "came to no rest within 1 real seconds"),
        (
            "import asyncio; await asyncio.Event().wait()",
            "still waiting after a virtual day",
        ),
        ("import os; os._exit(7)", "its process ended with exit code 7"),
    ],
)
def test_a_solution_that_spins_waits_for_ever_or_dies_hangs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, happened: str
) -> None:
    monkeypatch.setenv("CONFORMANCE_REAL_SECONDS", "1")
    [verdict] = played(tmp_path, hanging(how), "submit_answers_202")
    assert happened in verdict.happened


def test_a_solution_that_blocks_is_told_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_REAL_SECONDS", "1")
    blocks = hanging("import threading; threading.Event().wait()")
    hung, remark = played(
        tmp_path, blocks, "submit_answers_202", "processing_takes_no_place"
    )
    told = "It is at solution.py:5: import threading; threading.Event().wait()"
    assert told in hung.happened
    # What the exercise leaves open is no failure, however it went.
    assert remark.mark == "remark"


STARTING = """
from fastapi import FastAPI
async def start():
    raise RuntimeError('no disk')
app = FastAPI(on_startup=[start])
"""


def test_a_startup_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    verdict = preflight(tmp_path, STARTING.strip())
    assert "RuntimeError: no disk (solution.py, line 3)" in verdict.happened


DYING = """
import asyncio
from fastapi import FastAPI
async def clean():
    await asyncio.sleep(1)
    raise KeyError("finished_at")
async def start():
    app.state.cleaner = asyncio.create_task(clean())
app = FastAPI(on_startup=[start])
@app.post("/tasks", status_code=202)
async def submit():
    await asyncio.sleep(2)
    return {"task_id": "1", "status": "queued"}
"""


def test_what_a_background_task_died_of_is_told(tmp_path: Path) -> None:
    [verdict] = played(tmp_path, DYING, "submit_does_not_wait")
    told = (
        "it came after 2.0 s; "
        "before that, clean died: KeyError: 'finished_at' (solution.py, line 6)"
    )
    assert told in verdict.happened


def test_a_module_that_this_python_cannot_read_is_not_graded(tmp_path: Path) -> None:
    [verdict] = played(tmp_path, "def f(:", "uses_sleep")
    assert verdict.mark == "not graded"
    assert "this Python cannot read solution.py: invalid syntax" in verdict.happened


def test_the_source_of_what_cannot_be_imported_is_not_graded(tmp_path: Path) -> None:
    [verdict] = played(tmp_path, "import no_such_module", "uses_queue")
    assert verdict.mark == "not graded"
    assert "no_such_module" in verdict.happened


# The solution's packages, and this project's


def test_this_project_is_not_taken_for_one_that_is_missing(tmp_path: Path) -> None:
    solution = Solution(app="main:app", app_dir=str(tmp_path))
    [verdict] = verdicts_on(solution, [PREFLIGHT])
    assert verdict.mark == "failed"
    assert "No module named 'main'" in verdict.happened


def test_its_own_tests_package_is_not_taken_for_this_one(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "clock.py").write_text("SECONDS = 5")
    source = "from tests.clock import SECONDS\n" + wayward()
    assert preflight(tmp_path, source, failed="broken").mark == "passed"


# Added to a solution's source: it writes down where the modules of its
# process come from.
TELLING = """
import json
import sys
from typing import Any


def tell_modules() -> None:
    files = {}
    for name, module in sys.modules.items():
        files[name] = str(getattr(module, "__file__", None))
    with open("modules.json", "w") as told:
        json.dump(files, told)
"""

STARTING_UP = """
from contextlib import asynccontextmanager
from fastapi import FastAPI

@asynccontextmanager
async def lifespan(app):
    tell_modules()
    yield

app = FastAPI(lifespan=lifespan)
"""


def files_of_modules(folder: Path) -> dict[str, str]:
    """The file of each module that was there."""
    told = (folder / "modules.json").read_text(encoding="utf-8")
    return dict(json.loads(told))


def test_the_process_that_plays_has_imported_nothing_of_the_engine(
    tmp_path: Path,
) -> None:
    [verdict] = played(tmp_path, TELLING + STARTING_UP, "rests_when_idle")
    # It has no routes.
    assert verdict.mark == "failed"

    files = files_of_modules(tmp_path)
    packages = {name.partition(".")[0] for name in files}
    assert "solution" in packages
    assert not packages & {"taskmanager", "tests", "main", "benchmarks", "notebooks"}
    # A virtual environment may stand inside of the project.
    ours = {
        name
        for name, file in files.items()
        if file.startswith(f"{project_root()}/")
        and not file.startswith(f"{sys.prefix}/")
    }
    # The program that plays, under the name that nobody asks for. Under
    # the other, a process that the solution spawns would run it again.
    assert ours <= {"__mp_main__"}


MAIN = """
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from taskmanager.api import Wrong
from taskmanager.testing import tell_modules
from tests.helpers import PATCHED

assert PATCHED == "time.monotonic"


class Telling(Wrong):
    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        async with super().lifespan(app):
            yield
        tell_modules()


app = Telling().app
"""


def write_namesake(folder: Path) -> None:
    """A submission with this project's names, and a planted bug.

    It is the honest solution, in a package ``taskmanager``, but for a
    cancelled task that keeps its slot.
    """
    gallery = CONFORMANCE / "wrong_turns"
    honest = (gallery / "honest.py").read_text(encoding="utf-8")
    wrong = (gallery / "cancelled_keeps_its_slot.py").read_text(encoding="utf-8")
    files = {
        "taskmanager/__init__.py": "",
        "taskmanager/testing.py": TELLING,
        "taskmanager/task.py": honest,
        "taskmanager/api.py": wrong.replace(
            "tests.conformance.wrong_turns.honest", "taskmanager.task"
        ),
        "tests/__init__.py": "",
        "tests/helpers.py": "PATCHED = 'time.monotonic'\n",
        "tests/test_api.py": (
            "from tests.helpers import PATCHED\n"
            "async def test_api(monkeypatch) -> None:\n"
            "    monkeypatch.setattr(PATCHED, lambda: 0)\n"
        ),
        "main.py": MAIN,
        "README.md": "pip install fastapi; uvicorn main:app. Assumptions: none.\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_a_bug_is_found_in_a_submission_that_has_the_names_of_this_project(
    tmp_path: Path,
) -> None:
    write_namesake(tmp_path)
    solution = Solution(app="main:app", app_dir=str(tmp_path))
    requirements = [PREFLIGHT, *load_all()]
    verdicts = verdicts_on(solution, requirements)

    found = {
        requirement.name: verdict.mark
        for requirement, verdict in zip(requirements, verdicts, strict=True)
        if verdict.mark != "passed"
    }
    # Its lines are of up to 88 characters, as this project's are.
    assert found == {"cancel_frees_place": "failed", "lines_are_short": "remark"}


def test_a_submission_that_has_the_names_of_this_project_is_given_its_own(
    tmp_path: Path,
) -> None:
    write_namesake(tmp_path)
    solution = Solution(app="main:app", app_dir=str(tmp_path))
    [verdict] = verdicts_on(solution, [REQUIREMENTS["stops_with_work_under_way"]])
    assert verdict.mark == "passed"

    files = files_of_modules(tmp_path)
    theirs = {
        name: file
        for name, file in files.items()
        if name.partition(".")[0] in ("taskmanager", "tests", "main")
    }
    assert sorted(theirs) == [
        "main",
        "taskmanager",
        "taskmanager.api",
        "taskmanager.task",
        "taskmanager.testing",
        "tests",
        "tests.helpers",
    ]
    assert all(file.startswith(f"{tmp_path}/") for file in theirs.values())


# Virtual time

ODD = """
import asyncio, time, uuid, warnings
from datetime import datetime, timedelta
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

app = FastAPI()
tasks = {}
queue = asyncio.Queue(maxsize=100)
started = datetime.now
warnings.warn("this is old-fashioned", DeprecationWarning)

@app.on_event("startup")
async def start():
    app.state.worker = asyncio.create_task(work())

async def work():
    loop = asyncio.get_running_loop()
    while True:
        task = await queue.get()
        task["status"] = "processing"
        await loop.run_in_executor(None, time.sleep, 5)
        task["status"], task["result"] = "completed", 6

@app.post("/tasks", status_code=202)
def submit(request: dict):
    task = {"task_id": str(uuid.uuid4()), "status": "queued"}
    task |= {"result": None, "error": None, "at": started()}
    tasks[task["task_id"]] = task
    queue.put_nowait(task)
    return {**task, "status": "queued"}

@app.get("/tasks/{task_id}")
def read(task_id: str):
    if task_id in tasks and is_old(tasks[task_id]):
        del tasks[task_id]
    if task_id in tasks:
        return tasks[task_id]
    return JSONResponse({"detail": "no such task"}, 404)

def is_old(task):
    return datetime.now() - task["at"] > timedelta(minutes=10)

@app.get("/tasks")
def read_all():
    return list(tasks.values())
"""


def test_threads_startup_events_globals_and_captured_clocks_run_on_virtual_time(
    tmp_path: Path,
) -> None:
    marks = {
        "submit_answers_202": "passed",
        "completed_shows_result": "passed",
        "unknown_is_404": "passed",
        "five_in_parallel": "failed",
        "has_type_hints": "failed",
    }
    verdicts = played(tmp_path, ODD, *marks)
    assert [verdict.mark for verdict in verdicts] == list(marks.values())

    submitted, *_ = verdicts
    assert any("this is old-fashioned" in warning for warning in submitted.warnings)


def test_a_captured_clock_runs_on_virtual_time_for_ten_minutes(tmp_path: Path) -> None:
    source = ODD.replace("return list(tasks.values())", "return []")
    [removed] = played(tmp_path, source, "removed_after_ten_minutes")
    assert removed.mark == "passed"


def test_threads_of_the_solution_may_sleep(tmp_path: Path) -> None:
    sleeps = (
        "import threading, time\n"
        "def sleep(): time.sleep(60)\n"
        "threading.Thread(target=sleep, daemon=True).start()\n"
    )
    [verdict] = played(tmp_path, sleeps + ODD, "submit_answers_202")
    assert verdict.mark == "passed"


# The command and its card


def test_the_command_writes_reports_and_explains_a_failing_line(tmp_path: Path) -> None:
    (tmp_path / "solution.py").write_text(ODD, encoding="utf-8")
    graded = ("-q", "--app", "solution:app", "--app-dir", str(tmp_path))
    report = tmp_path / "card.html"

    done = command(
        *graded,
        "-k",
        "five_in_parallel or submit_answers_202",
        "--report",
        str(report),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ Five tasks are processed in parallel" in done.stdout
    assert "happened: 1 were" in done.stdout
    assert "solution:app: 1 passed, 1 failed" in done.stdout
    assert "Five tasks are processed in parallel" in report.read_text(encoding="utf-8")

    wrong = command(*graded, "--report", "card.pdf")
    assert wrong.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the ending is to be .md or .html" in wrong.stderr


def test_a_report_that_cannot_be_written_costs_one_line(tmp_path: Path) -> None:
    report = tmp_path / "card.md"
    report.mkdir()
    done = command("-k", "submit_answers_202", "--report", str(report))
    assert done.returncode == 0
    assert "the report could not be written: " in done.stdout
    assert "Traceback" not in done.stdout


def test_what_cannot_be_played_has_a_card_all_the_same(tmp_path: Path) -> None:
    report = tmp_path / "card.md"
    done = command(
        "--app",
        "missing:app",
        "--app-dir",
        str(tmp_path),
        "--report",
        str(report),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No module named 'missing'\nmissing:app: 1 failed" in done.stdout
    assert "It starts and takes a task" in report.read_text(encoding="utf-8")


def test_a_card_escapes_what_a_solution_says() -> None:
    requirement = REQUIREMENTS["submit_answers_202"]
    graded = [(requirement, Verdict("failed", "a | b", "<script>", ["Warning: <b>"]))]
    assert "<script>" not in card.page(graded, Solution(app="<script>"))
    assert "a \\| b" in card.markdown(graded, Solution())

    graded += [(requirement, Verdict("remark"))] * 2
    assert card.summary(graded) == "1 failed, 2 remarks"


def test_what_many_lines_have_in_common_is_said_once_at_the_end() -> None:
    requirement = REQUIREMENTS["submit_answers_202"]
    graded = [(requirement, Verdict("failed", "a start", "none came"))] * 5
    graded.append((requirement, Verdict("failed", "b", "c")))
    assert card.same_reason(graded) == [
        "Mend this first: 5 lines say “expected a start; none came”."
    ]
    assert card.same_reason(graded[1:]) == []
    assert "Mend this first" in card.page(graded, Solution())
    assert "Mend this first" in card.markdown(graded, Solution())


# Names and routes

BACKGROUND = """
import asyncio, uuid
from fastapi import BackgroundTasks, FastAPI

app, tasks = FastAPI(), {}

async def work(task):
    await asyncio.sleep(5)
    task["status"] = task["status"].replace("QUEUED", "COMPLETED")

@app.post("/tasks")
async def submit(body: dict, background: BackgroundTasks):
    task = {"task_id": str(uuid.uuid4()), "status": "QUEUED"}
    tasks[task["task_id"]] = task
    background.add_task(work, task)
    return task

@app.delete("/tasks/{task_id}")
async def cancel(task_id: str):
    tasks[task_id]["status"] = "CANCELED"
    return tasks[task_id]

@app.get("/tasks/{task_id}")
async def show(task_id: str):
    return tasks[task_id]
"""


def test_work_after_the_answer_and_200_in_place_of_202_are_seen_for_what_they_are(
    tmp_path: Path,
) -> None:
    at_once, status = played(
        tmp_path, BACKGROUND, "submit_does_not_wait", "submit_answers_202"
    )
    assert at_once.mark == "passed"
    assert status.mark == "failed"
    assert "was answered 200" in status.happened


def test_other_spellings_of_the_ends_are_found_out(tmp_path: Path) -> None:
    verdict = preflight(tmp_path, BACKGROUND)
    assert verdict.mark == "passed"
    assert verdict.found["cancelled"] == "CANCELED"


WAYWARD = """
import asyncio, random, uuid
from fastapi import APIRouter, FastAPI, HTTPException

router, tasks = APIRouter(prefix="PREFIX"), {}

async def work(task):
    await asyncio.sleep(0)
    task["state"] = "running"
    await asyncio.sleep(5)
    task["state"] = "broken" if LUCK else "done"

@router.post("SLASH", status_code=202)
async def submit(body: dict):
    task = {"id": len(tasks), "state": "pending", "result": None, "error": None}
    tasks[task["id"]] = task
    task["work"] = asyncio.create_task(work(task))
    return {"task": {"id": task["id"], "state": "pending"}}

@router.get("/{id}")
async def show(id: int):
    if id not in tasks:
        raise HTTPException(404, "no such task")
    return {"task": {key: value for key, value in tasks[id].items() if key != "work"}}

app = FastAPI()
app.include_router(router)

def make_app():
    return app
"""


def wayward(prefix: str = "/tasks", slash: str = "", luck: str = "False") -> str:
    source = WAYWARD
    for word, value in (("PREFIX", prefix), ("SLASH", slash), ("LUCK", luck)):
        source = source.replace(word, value)
    return source


@pytest.mark.parametrize(
    ("prefix", "slash", "path"),
    [
        ("/tasks", "", {}),
        ("/tasks", "/", {"path": "/tasks/"}),
        ("/api/tasks", "", {"path": "/api/tasks"}),
        ("/jobs", "", {"path": "/jobs"}),
    ],
)
def test_names_and_routes_are_found_out(
    tmp_path: Path, prefix: str, slash: str, path: dict[str, str]
) -> None:
    verdict = preflight(tmp_path, wayward(prefix, slash), failed="broken")
    names = {
        "task_id": "id",
        "status": "state",
        "queued": "pending",
        "processing": "running",
        "completed": "done",
    }
    # Any task type is accepted, and none does what it says.
    taken = {"result": None, "failing": None}
    assert verdict.found == names | taken | path


# In place of the line with which the work ends.
OWN_NAMES = """
    if task["kind"] == "simulate_failure":
        task["reason"] = "it was to fail"
    else:
        task["output"] = 6
    task["state"] = "broken" if "reason" in task else "done"
"""


def test_other_names_of_the_result_and_the_error_are_found_out(tmp_path: Path) -> None:
    source = wayward().replace(
        '    task["state"] = "broken" if False else "done"\n', OWN_NAMES
    )
    source = source.replace(
        '"result": None, "error": None', '"kind": body["task_type"]'
    )
    found = preflight(tmp_path, source, failed="broken").found
    assert found["result_field"] == "output"
    assert found["error"] == "reason"


STATE = """
from contextlib import asynccontextmanager
from fastapi import FastAPI, Request

@asynccontextmanager
async def lifespan(app):
    yield {"tasks": []}

app = FastAPI(lifespan=lifespan)

@app.post("/tasks", status_code=202)
async def submit(request: Request):
    tasks = request.state.tasks
    tasks.append(len(tasks))
    return {"task_id": str(len(tasks)), "status": "queued"}
"""


def test_requests_have_the_state_of_the_lifespan(tmp_path: Path) -> None:
    [verdict] = played(tmp_path, STATE, "submit_answers_202")
    assert verdict.mark == "passed"


def test_one_odd_habit_costs_one_line(tmp_path: Path) -> None:
    source = wayward(slash="/")
    found = preflight(tmp_path, source, failed="broken").found
    marks = {
        "submit_answers_202": "failed",
        "names_are_as_given": "remark",
        "get_shows_fields": "passed",
        "unknown_is_404": "passed",
        "works_unasked": "passed",
    }
    verdicts = played(tmp_path, source, *marks, **found)
    assert [verdict.mark for verdict in verdicts] == list(marks.values())

    _, names, *_ = verdicts
    assert "task_id is called 'id'" in names.happened
    assert "but inside of 'task'" in names.happened


def test_a_route_that_is_nowhere_is_named(tmp_path: Path) -> None:
    elsewhere = wayward(prefix="/jobs").replace('get("/{id}")', 'get("/state/{id}")')
    verdict = preflight(tmp_path, elsewhere, failed="broken")
    expected = "a route POST /tasks (called otherwise? set `path` in a TOML file)"
    assert expected in verdict.expected
    assert "there is POST /jobs in /openapi.json" in verdict.happened


def test_a_task_that_cannot_be_read_where_it_should_be_is_told(tmp_path: Path) -> None:
    elsewhere = wayward().replace('get("/{id}")', 'get("/state/{id}")')
    verdict = preflight(tmp_path, elsewhere, failed="broken")
    expected = "200 from GET /tasks/{task_id} for the task just accepted"
    assert expected in verdict.expected
    assert "there is GET /tasks/state/{id} in /openapi.json" in verdict.happened


def test_a_factory_is_called(tmp_path: Path) -> None:
    verdict = preflight(tmp_path, wayward(), app="solution:make_app", failed="broken")
    assert verdict.mark == "passed"


@pytest.mark.parametrize(
    "factory",
    [
        "def make_app(settings=None):",
        "def make_app(*, settings=None):",
        "def make_app(host='', port=0, debug=False):",
    ],
)
def test_a_factory_with_optional_arguments_is_called(
    tmp_path: Path, factory: str
) -> None:
    source = wayward().replace("def make_app():", factory)
    verdict = preflight(tmp_path, source, app="solution:make_app", failed="broken")
    assert verdict.mark == "passed"


def test_names_in_the_file_and_names_found_out_go_together(tmp_path: Path) -> None:
    named = {"failed": "broken", "queued": "pending", "task_id": "id"}
    verdict = preflight(tmp_path, wayward(), **named)
    found = {name: value for name, value in verdict.found.items() if value is not None}
    assert found == {"status": "state", "processing": "running", "completed": "done"}


def test_a_long_poll_or_a_delete_that_there_is_not_is_no_success(
    tmp_path: Path,
) -> None:
    names = [
        "cancel_frees_worker",
        "cancel_wakes_waiters",
        "wait_holds_up_nobody",
        "wait_is_not_busy",
    ]
    found = preflight(tmp_path, wayward(), failed="broken").found
    verdicts = played(tmp_path, wayward(), *names, failed="broken", **found)
    assert [verdict.mark for verdict in verdicts] == ["not graded"] * 4

    deleting, polling, *_ = verdicts
    assert "DELETE /tasks/" in deleting.happened
    assert "answered at once" in polling.happened


def test_a_delete_that_is_refused_is_not_told_as_a_task_that_goes_on(
    tmp_path: Path,
) -> None:
    refusing = wayward() + (
        "\n@app.delete('/tasks/{id}')\n"
        "async def cancel(id: int):\n"
        "    raise HTTPException(409, 'it cannot be cancelled')\n"
    )
    found = preflight(tmp_path, refusing, failed="broken").found
    stays, cancels = played(
        tmp_path,
        refusing,
        "cancelled_stays_cancelled",
        "cancel_processing",
        failed="broken",
        **found,
    )
    assert cancels.mark == "failed"
    assert "was answered 409" in cancels.happened
    assert stays.mark == "not graded"
    assert stays.cause == "cancel_processing"


def test_an_answer_of_429_to_every_address_is_told_before_all_else(
    tmp_path: Path,
) -> None:
    global_limit = (
        "\nasked = []\n"
        "@app.middleware('http')\n"
        "async def limit(request, call_next):\n"
        "    from fastapi.responses import JSONResponse\n"
        "    asked.append(1)\n"
        "    if len(asked) > 10:\n"
        "        return JSONResponse({'detail': 'too many'}, 429)\n"
        "    return await call_next(request)\n"
    )
    verdict = preflight(tmp_path, wayward() + global_limit, failed="broken")
    assert verdict.mark == "failed"
    assert "each client address to have a limit of its own" in verdict.expected


@pytest.mark.parametrize(
    ("progress", "mark"),
    [
        ("100", "passed"),
        ("1.0", "passed"),
        ("'7/7'", "passed"),
        ("'done'", "passed"),
        ("99", "remark"),
    ],
)
def test_progress_at_the_end_may_be_written_in_several_ways(
    tmp_path: Path, progress: str, mark: str
) -> None:
    source = wayward().replace(
        'else "done"', f'else "done"\n    task["progress"] = {progress}'
    )
    found = preflight(tmp_path, source, failed="broken").found
    [verdict] = played(
        tmp_path, source, "progress_ends_at_100", failed="broken", **found
    )
    assert verdict.mark == mark
    assert mark == "passed" or "it was 99" in verdict.happened


def test_logging_through_a_logger_of_uvicorn_counts(tmp_path: Path) -> None:
    running = '    task["state"] = "running"'
    told = '    logging.getLogger("uvicorn.error").info("it runs")'
    source = wayward().replace("import asyncio,", "import logging, asyncio,")
    source = source.replace(running, f"{running}\n{told}")

    found = preflight(tmp_path, source, failed="broken").found
    [verdict] = played(tmp_path, source, "tasks_are_logged", **found)
    assert verdict.mark == "passed"


# Tasks that fail


def test_tasks_that_fail_by_chance_are_played_again(tmp_path: Path) -> None:
    lucky = wayward(luck="random.random() < 0.5")
    found = preflight(tmp_path, lucky, failed="broken").found
    assert found["completed"] == "done"

    names = ["works_unasked"] * 6 + ["nothing_is_lost"]
    verdicts = played(tmp_path, lucky, *names, failed="broken", **found)
    assert {verdict.mark for verdict in verdicts} == {"passed"}

    # What always fails, fails.
    for never in ("True", "random.random() < 2"):
        unlucky = wayward(luck=never)
        [verdict] = played(tmp_path, unlucky, "works_unasked", failed="broken", **found)
        assert "its status was 'broken'" in verdict.happened


def test_where_any_task_type_is_accepted_the_default_ones_promise_nothing(
    tmp_path: Path,
) -> None:
    found = preflight(tmp_path, wayward(), failed="broken").found
    source = wayward().replace('"done"', '"done"\n    task["result"] = "any"')
    names = ["completed_shows_result", "failure_is_shown", "invalid_is_400"]
    verdicts = played(tmp_path, source, *names, **found)
    assert [verdict.mark for verdict in verdicts] == ["passed", "not graded", "failed"]


def test_a_task_that_always_fails_shows_its_error(tmp_path: Path) -> None:
    source = wayward(luck="True").replace('"error": None', '"error": "no such column"')
    for failed in ("failed", "EXHAUSTED"):
        verdict = preflight(tmp_path, source.replace("broken", failed))
        assert verdict.mark == "failed"
        assert "to be completed" in verdict.expected
        told = "it is accepted and fails each time, with the error 'no such column'"
        assert told in verdict.happened


def test_a_final_state_with_a_name_of_its_own_is_found_out(tmp_path: Path) -> None:
    own = OWN_BODIES.replace('"failed" if kind', '"EXHAUSTED" if kind')
    found = preflight(tmp_path, own).found
    assert found["failed"] == "EXHAUSTED"
    assert found["completed"] == "succeeded"
    assert found["failing"]["job_type"] == "broken"

    background = BACKGROUND.replace('"CANCELED"', '"REVOKED"').replace(
        'task["status"].replace("QUEUED", "COMPLETED")',
        '"COMPLETED" if task["status"] == "QUEUED" else task["status"]',
    )
    assert preflight(tmp_path, background).found["cancelled"] == "REVOKED"


REFUSING = """
    if body["task_type"] == "generate_report":
        raise HTTPException(400, "no reports here")
    if body["task_type"] == "GENERATE_REPORT" and "pages" not in body["parameters"]:
        raise HTTPException(400, "parameters.pages is missing")
"""
KINDS = """
from enum import Enum
class Kind(str, Enum):
    a = "compute_sum"
    b = "GENERATE_REPORT"
"""


def test_a_slow_task_that_is_refused_costs_the_lines_that_need_it(
    tmp_path: Path,
) -> None:
    source = KINDS + wayward().replace(
        "async def submit(body: dict):", f"async def submit(body: dict):{REFUSING}"
    ).replace("async def show(id: int):", "async def show(id: int, kind: Kind = None):")
    verdict = preflight(tmp_path, source, failed="broken")
    assert verdict.mark == "passed"
    found = verdict.found
    assert found["slow"] == Solution().quick
    # The last attempt is quoted, not the first.
    assert "GENERATE_REPORT" in found["no_slow"]
    assert "parameters.pages is missing" in found["no_slow"]

    parallel, blocking = played(
        tmp_path,
        source,
        "five_in_parallel",
        "no_head_of_line_blocking",
        failed="broken",
        **found,
    )
    assert parallel.mark == "passed"
    assert blocking.mark == "not graded"
    assert "set a longer one as `slow`" in blocking.happened
    assert "parameters.pages is missing" in blocking.happened


# Priorities


def test_a_priority_that_is_refused_is_not_graded(tmp_path: Path) -> None:
    refusing = wayward().replace(
        "(body: dict):",
        "(body: dict):\n    if 'priority' in body: raise HTTPException(400, 'eh')",
    )
    found = preflight(tmp_path, refusing, failed="broken").found
    [verdict] = played(tmp_path, refusing, "high_goes_first", failed="broken", **found)
    assert verdict.mark == "not graded"
    assert "a submission with 'priority': 'high' is refused" in verdict.happened


NUMBERED = """
import asyncio, itertools, uuid
from enum import Enum
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

class Level(Enum):
    first, second, third = LEVELS

class Body(BaseModel):
    priority: Level = Level.second

app, tasks, count = FastAPI(), {}, itertools.count()

async def worker(queue):
    while True:
        *_, task = await queue.get()
        if task["status"] == "queued":
            task["status"] = "processing"
            task["run"] = asyncio.create_task(asyncio.sleep(5))
            await asyncio.wait([task["run"]])
            if task["status"] != "cancelled":
                task["status"] = "completed"

@app.on_event("startup")
async def start():
    app.state.queue = asyncio.PriorityQueue()
    app.state.workers = [asyncio.create_task(worker(app.state.queue)) for _ in range(5)]

@app.post("/tasks", status_code=202)
async def submit(body: Body):
    task = {"task_id": str(uuid.uuid4()), "status": "queued"}
    tasks[task["task_id"]] = task
    app.state.queue.put_nowait((RANK, next(count), task))
    return dict(task)

@app.get("/tasks/{task_id}")
async def show(task_id: str):
    return {"status": tasks[task_id]["status"]}

@app.delete("/tasks/{task_id}")
async def cancel(task_id: str):
    tasks[task_id]["status"] = "cancelled"
    if "run" in tasks[task_id]:
        tasks[task_id]["run"].cancel()
"""
UP = "{level: number for number, level in enumerate(Level)}[body.priority]"


@pytest.mark.parametrize(
    ("levels", "rank", "high_first", "in_order"),
    [
        ("1, 2, 3", UP, "passed", "passed"),
        ("1, 2, 3", f"-{UP}", "passed", "passed"),
        ("'HIGH', 'MEDIUM', 'LOW'", UP, "passed", "passed"),
        ("'HIGH', 'MEDIUM', 'LOW'", f"-{UP}", "failed", "passed"),
        ("1, 2, 3", "0", "failed", "passed"),
        ("'a', 'b', 'c'", UP, "not graded", "not graded"),
    ],
)
def test_priorities_may_be_numbers_that_go_either_way_or_words_in_capitals(
    tmp_path: Path, levels: str, rank: str, high_first: str, in_order: str
) -> None:
    source = NUMBERED.replace("LEVELS", levels).replace("RANK", rank)
    high, equal = played(
        tmp_path, source, "high_goes_first", "equal_priorities_keep_their_order"
    )
    assert high.mark == high_first
    assert equal.mark == in_order
    if levels == "1, 2, 3" and high_first != "passed":
        assert "or the other way round" in high.expected


@pytest.mark.parametrize(
    "field",
    [
        "Level",
        "Level | None",
        "Annotated[int, Field(ge=1, le=9)]",
    ],
)
def test_numbers_are_the_least_and_the_greatest_that_are_documented(
    tmp_path: Path, field: str
) -> None:
    source = NUMBERED.replace("LEVELS", "1, 5, 9").replace("RANK", "body.priority or 5")
    source = source.replace("Level(Enum)", "Level(int, Enum)")
    source = source.replace("priority: Level =", f"priority: {field} =")
    source = source.replace("import BaseModel", "import BaseModel, Field")
    source = source.replace(
        "import asyncio", "from typing import Annotated\nimport asyncio"
    )
    names = ("high_goes_first", "default_priority_is_between")
    for verdict in played(tmp_path, source, *names):
        assert verdict.mark == "passed", verdict


LENIENT = """class Level(Enum):
    @classmethod
    def _missing_(cls, value):
        return cls.second
"""


def test_priorities_that_are_documented_go_before_those_that_happen_to_be_accepted(
    tmp_path: Path,
) -> None:
    source = NUMBERED.replace("LEVELS", "'HIGH', 'MEDIUM', 'LOW'")
    source = source.replace("class Level(Enum):", LENIENT)
    source = source.replace("RANK", "list(Level).index(body.priority)")
    high, unknown = played(
        tmp_path, source, "high_goes_first", "unknown_priority_is_400"
    )
    assert high.mark == "passed"
    assert unknown.mark == "remark"


# What comes back

LISTING = """
import json
from fastapi import FastAPI, Response
app, count = FastAPI(), 0
a, b = {"task_id": "1", "status": "queued"}, {"task_id": "2", "status": "queued"}
@app.post("/tasks", status_code=202)
async def submit():
    global count
    count += 1
    return {"task_id": str(count % 2 + 1), "status": "queued"}
@app.get("/tasks")
async def read_all():
    return Response(BODY, media_type="KIND")
"""


@pytest.mark.parametrize(
    ("body", "kind", "count"),
    [
        (
            r"f'data: {json.dumps(a)}\n\n: still there\n\ndata: {json.dumps(b)}\n\n'",
            "text/event-stream",
            2,
        ),
        (
            r"json.dumps(a) + '\n' + json.dumps(b) + '\n'",
            "application/x-ndjson",
            2,
        ),
        # A single line is a list of one.
        ("json.dumps(a)", "application/x-ndjson", 1),
        # By id.
        (
            "json.dumps({t['task_id']: {'status': 'queued'} for t in (a, b)})",
            "application/json",
            2,
        ),
        ("json.dumps({'count': 2, 'tasks': [a, b]})", "application/json", 2),
    ],
    ids=["events", "lines", "one line", "by id", "inside"],
)
def test_a_list_may_come_in_other_shapes(
    tmp_path: Path, body: str, kind: str, count: int
) -> None:
    source = LISTING.replace("BODY", body).replace("KIND", kind)
    [verdict] = played(tmp_path, source, "list_has_all")
    # Of seven: it has read them.
    assert f"there were {count}" in verdict.happened


ECHO = """
import json
from fastapi import FastAPI, Request, Response
app, tasks = FastAPI(), []
@app.post("/tasks")
async def submit(request: Request):
    task = {"task_id": str(len(tasks)), "status": "completed"}
    tasks.append({**task, "body": await request.json()})
    return Response(json.dumps({**tasks[-1], "status": "queued"}))
@app.get("/tasks/{n}")
async def show(n: int):
    return Response(json.dumps(tasks[n], ensure_ascii=ASCII).encode("utf-8"))
@app.get("/tasks")
async def show_all():
    return Response(json.dumps(tasks))
"""


def test_infinity_and_half_a_character_are_to_be_answered_as_json(
    tmp_path: Path,
) -> None:
    name = "odd_values_are_no_crash"
    [infinity] = played(tmp_path, ECHO.replace("ASCII", "True"), name)
    assert infinity.mark == "remark"
    assert "the body was" in infinity.happened

    finite = ECHO.replace(
        "await request.json()",
        "json.loads((await request.body()).replace(b'1e999', b'0'))",
    )
    [escaped] = played(tmp_path, finite.replace("ASCII", "True"), name)
    assert escaped.mark == "passed"

    [half] = played(tmp_path, finite.replace("ASCII", "False"), name)
    assert half.mark == "remark"
    assert "\\ud800" in half.expected


# The source


def test_blocking_sleep_is_found_under_any_name(tmp_path: Path) -> None:
    honest = "import asyncio\nasync def work():\n    await asyncio.sleep(5)\n"
    [passed] = played(tmp_path, honest, "uses_sleep")
    assert passed.mark == "passed"

    blocking = f"from time import sleep as nap\n{honest}    nap(5)\n"
    [failed] = played(tmp_path, blocking, "uses_sleep")
    assert "there is nap(5)" in failed.happened


CLASSIFYING = """
import asyncio
class Trouble(asyncio.QueueFull, RuntimeError): pass
class Worse(Trouble): pass
def kind(x, error):
    match SUBJECT:
        case CASE: raise ValueError('eh')
"""


@pytest.mark.parametrize(
    ("subject", "case", "mark"),
    [
        ("x", "Worse()", "passed"),
        ("x", "KeyError()", "passed"),
        ("x", "'sum' | 'mean'", "remark"),
        ("error.code", "404", "passed"),
    ],
)
def test_errors_classified_with_match_are_found_by_what_they_are(
    tmp_path: Path, subject: str, case: str, mark: str
) -> None:
    source = CLASSIFYING.replace("SUBJECT", subject).replace("CASE", case)
    [verdict] = played(tmp_path, source, "classifies_with_match")
    assert verdict.mark == mark


def test_custom_exceptions_are_found_by_what_they_stand_on(tmp_path: Path) -> None:
    own = (
        "import asyncio\n"
        "class Trouble(asyncio.QueueFull, RuntimeError): pass\n"
        "class Worse(Trouble): pass\n"
    )
    [passed] = played(tmp_path, own, "has_custom_exceptions")
    assert passed.mark == "passed"

    none = "def kind(x):\n    match x:\n        case 1: raise ValueError('eh')\n"
    [failed] = played(tmp_path, none, "has_custom_exceptions")
    assert failed.mark == "failed"


TOOLS = """
import asyncio as aio, threading
from collections import deque as D
class Event: pass
lock, queue, times = threading.Lock(), aio.Queue(), D()
app = 'Queue deque Lock gather'
Event()
"""


def test_a_tool_counts_where_it_is_the_one_that_the_exercise_names(
    tmp_path: Path,
) -> None:
    marks = {
        "uses_queue": "passed",
        "uses_deque": "passed",
        "uses_lock": "failed",
        "uses_event": "failed",
        "uses_gather": "failed",
    }
    verdicts = played(tmp_path, TOOLS, *marks)
    assert [verdict.mark for verdict in verdicts] == list(marks.values())


def test_a_lock_that_is_made_anew_each_time_is_no_lock(tmp_path: Path) -> None:
    anew = "import asyncio\nasync def allow():\n    async with asyncio.Lock(): pass\n"
    [verdict] = played(tmp_path, anew, "uses_lock")
    assert "makes a new one each time" in verdict.happened


@pytest.mark.parametrize(
    ("columns", "mark"),
    [
        (79, "passed"),
        (80, "remark"),
        (99, "remark"),
        (100, "failed"),
    ],
)
def test_lines_may_be_as_long_as_pep_8_says(
    tmp_path: Path, columns: int, mark: str
) -> None:
    line = "x = 1".ljust(columns, "1")
    [verdict] = played(tmp_path, f"{line}\n", "lines_are_short")
    assert verdict.mark == mark
    assert mark == "passed" or ": solution.py:1" in verdict.happened
    assert mark != "remark" or "of comments and docstrings" not in verdict.happened


@pytest.mark.parametrize(
    "prose",
    [
        f"# {'x' * 71}",
        f'def f() -> None:\n    """{"x" * 66}"""',
    ],
    ids=["comment", "docstring"],
)
def test_lines_of_up_to_99_go_with_comments_and_docstrings_of_up_to_72(
    tmp_path: Path, prose: str
) -> None:
    [alone] = played(tmp_path, f"{prose}\n", "lines_are_short")
    assert alone.mark == "passed"

    source = f"x = {'1' * 90}\n{prose}\n"
    [verdict] = played(tmp_path, source, "lines_are_short")
    assert verdict.mark == "remark"
    assert "1 have 80 to 99: solution.py:1" in verdict.happened
    told = "of comments and docstrings, 1 have over 72: solution.py"
    assert told in verdict.happened


# Bodies from the OpenAPI document


def test_task_types_that_sound_alike_are_found_out(tmp_path: Path) -> None:
    kinds = (
        "from enum import Enum\n"
        "from pydantic import BaseModel\n"
        "class Kind(str, Enum):\n"
        "    a = 'SUM_NUMBERS'\n"
        "    b = 'REPORT'\n"
        "class Body(BaseModel):\n"
        "    task_type: Kind\n"
        "    parameters: dict\n"
    )
    source = kinds + wayward().replace("body: dict", "body: Body")
    found = preflight(tmp_path, source, failed="broken").found

    assert found["quick"] == {
        "task_type": "SUM_NUMBERS",
        "parameters": {"numbers": [1, 2, 3]},
    }
    assert found["slow"]["task_type"] == "REPORT"
    assert {body["task_type"] for body in found["bad_parameters"]} == {"SUM_NUMBERS"}
    told = card.adopted(Solution(**found))
    assert 'the slow task is {"task_type": "REPORT"' in told


JOB = {
    "type": "object",
    "required": [
        "job_type",
        "payload",
        "idempotency_key",
        "retries",
        "tags",
    ],
    "properties": {
        "job_type": {"$ref": "#/components/schemas/Kind"},
        "payload": {
            "type": "object",
            "required": ["to"],
            "properties": {"to": {"format": "email"}},
        },
        "idempotency_key": {"type": "string"},
        "retries": {"type": "integer", "minimum": 3},
        "tags": {
            "type": "array",
            "items": {"type": "string", "minLength": 6},
        },
        "comment": {"type": "string"},
    },
}
CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}}
DOCUMENT = {
    "paths": {"/jobs": {"post": {"requestBody": {"content": CONTENT}}}},
    "components": {"schemas": {"Kind": {"enum": ["resize", "mail"]}, "Job": JOB}},
}


def test_bodies_are_made_from_the_openapi_document() -> None:
    common = {
        "payload": {"to": "someone@example.org"},
        "idempotency_key": "{unique}",
        "retries": 3,
        "tags": ["textxx"],
    }
    resize = {"job_type": "resize", **common}
    mail = {"job_type": "mail", **common}
    assert bodies.bodies(DOCUMENT, "/jobs") == [resize, mail]
    assert bodies.bodies(DOCUMENT, "/tasks") == []
    assert bodies.bodies({}, "/tasks") == []

    quick = loads(f"quick = {bodies.as_toml(mail)}")["quick"]
    assert quick == mail
    assert bodies.invalid(quick) == [{}, [], {**quick, "job_type": "no_such_type"}]
    assert bodies.invalid({"name": "x"}) == [{}, []]


OWN_BODIES = """
import asyncio, uuid
from typing import Literal
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

class Job(BaseModel):
    job_type: Literal["long", "short", "broken"]
    key: str

app, jobs, keys = FastAPI(), {}, set()
SECONDS = {"long": 20, "short": 0, "broken": 3}

async def work(job, kind):
    job["state"] = "busy" if not SECONDS[kind] else "running"
    await asyncio.sleep(SECONDS[kind])
    job["state"] = "failed" if kind == "broken" else "succeeded"

@app.post("/jobs", status_code=202)
async def submit(body: Job):
    if body.key in keys:
        raise HTTPException(409, "known already")
    keys.add(body.key)
    job = {"job_id": str(uuid.uuid4()), "state": "accepted"}
    jobs[job["job_id"]] = job
    asyncio.create_task(work(job, body.job_type))
    return dict(job)

@app.get("/jobs/{job_id}")
async def show(job_id: str):
    return jobs[job_id]
"""


def test_a_solution_with_bodies_of_its_own_needs_no_file(tmp_path: Path) -> None:
    found = preflight(tmp_path, OWN_BODIES).found
    assert found["quick"]["job_type"] == "short"
    assert found["slow"]["job_type"] == "long"
    assert found["failing"]["job_type"] == "broken"
    assert found["quick"]["key"] == "{unique}"
    assert found["invalid"][2]["job_type"] == "no_such_type"

    names = {
        "path": "/jobs",
        "task_id": "job_id",
        "status": "state",
        "queued": "accepted",
        "processing": "running",
        "completed": "succeeded",
    }
    assert {name: found[name] for name in names} == names

    marks = {
        "ids_differ": "passed",
        "works_unasked": "passed",
        "cancel_processing": "failed",
    }
    verdicts = played(tmp_path, OWN_BODIES, *marks, **found)
    assert [verdict.mark for verdict in verdicts] == list(marks.values())


def test_a_task_that_fails_by_chance_is_not_taken_for_one_that_fails(
    tmp_path: Path,
) -> None:
    by_chance = OWN_BODIES.replace(
        '"failed" if kind == "broken"', '"failed" if kind == "broken" and len(jobs) % 2'
    )
    assert "failing" not in preflight(tmp_path, by_chance).found


# Memory

LEAKING = """
import asyncio, itertools, uuid
from collections import deque
from fastapi import FastAPI

class Record:
    pass

app, tasks, kept, numbers = FastAPI(), {}, KEPT, itertools.count()

async def work(key):
    await asyncio.sleep(5)
    tasks[key] = "completed"
    await asyncio.sleep(600)
    del tasks[key]

@app.post("/tasks", status_code=202)
async def submit():
    key = IDENTITY
    tasks[key] = "processing"
    asyncio.create_task(work(key))
    KEEP
    return {"task_id": key, "status": "queued"}

@app.get("/tasks/{key}")
async def show(key: TYPE):
    return {"status": tasks[key]}

@app.get("/tasks")
async def show_all():
    return list(tasks)
"""


@pytest.mark.parametrize(
    ("identity", "kept", "keep", "left"),
    [
        ("uuid.uuid4()", "[]", "pass", ""),
        ("next(numbers)", "deque(maxlen=100)", "kept.append(key)", ""),
        ("uuid.uuid4()", "{}", "kept[key] = 1", "60 of the ids"),
        ("next(numbers)", "{}", "kept[key] = 1", "60 of the ids"),
        ("uuid.uuid4()", "set()", "kept.add(str(key))", "60 of the ids"),
        ("next(numbers)", "[]", "kept.append(Record())", "60 of Record"),
        ("uuid.uuid4()", "[]", "kept.append(asyncio.Event())", " of Event"),
    ],
)
def test_what_is_kept_of_removed_tasks_is_found_wherever_it_is(
    tmp_path: Path, identity: str, kept: str, keep: str, left: str
) -> None:
    source = LEAKING.replace("IDENTITY", identity)
    source = source.replace("KEPT", kept).replace("KEEP", keep)
    kind = "int" if "next" in identity else "uuid.UUID"
    [verdict] = played(tmp_path, source.replace("TYPE", kind), "store_forgets")
    expected = "failed" if left else "passed"
    assert verdict.mark == expected
    assert left in verdict.happened
