"""The grading itself: the map has no hole, foreign code may be odd, and
what is wrong with a command is said.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import bodies, card
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX, grade
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import REQUIREMENTS, Verdict, load_all
from tests.conformance.solution import Solution, SolutionError, tomllib
from tests.helpers import project_root

load_all()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN_GRADE, reason=NEEDS_POSIX),
]


def played(
    folder: Path, source: str, *names: str, app: str = "solution:app", **named: Any
) -> list[Verdict]:
    """The verdicts on an application whose source this is; ``named`` is
    what its TOML file would say.
    """
    (folder / "solution.py").write_text(source, encoding="utf-8")
    jobs = [
        (Solution(app=app, app_dir=str(folder), **named), REQUIREMENTS[name])
        for name in names
    ]
    verdicts = dict(grade(jobs))
    return [verdicts[index] for index in range(len(jobs))]


def test_the_map_of_the_exercise_has_no_hole() -> None:
    text = (project_root() / "tests" / "conformance" / "README.md").read_text(
        encoding="utf-8"
    )
    rows = re.findall(
        r"^\| (?!the exercise says|---)(.+) \| (.+) \|$",
        text.partition("<!-- map -->")[2],
        re.MULTILINE,
    )
    mapped = [name for _, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(mapped) == sorted(REQUIREMENTS)


def test_what_explains_a_requirement_exists() -> None:
    root = project_root()
    for requirement in REQUIREMENTS.values():
        for notebook in re.findall(r"notebook (\d\d-[\w-]+)", requirement.learn):
            assert (root / "notebooks" / f"{notebook}.ipynb").exists(), requirement.name
        for path in re.findall(
            r"\w+/\w+\.py|README\.md|pyproject\.toml", requirement.learn
        ):
            assert (root / path).exists(), requirement.name


def test_the_readme_explains_each_key_of_the_toml_file_with_its_default(
    tmp_path: Path,
) -> None:
    text = (project_root() / "tests" / "conformance" / "README.md").read_text(
        encoding="utf-8"
    )
    file = tmp_path / "solution.toml"
    file.write_text(
        re.findall(r"```toml\n(.+?)```", text, re.DOTALL)[0], encoding="utf-8"
    )
    shown, default = Solution.read(file), Solution()
    assert (shown.app, shown.app_dir) == (
        "your.module:app",
        str(tmp_path / "path/to/your/project"),
    )
    for field in vars(default):
        if field not in ("app", "app_dir"):
            assert getattr(shown, field) == getattr(default, field), field


def test_a_toml_file_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "solution.toml"
    file.write_text("quik = 1")
    with pytest.raises(
        SolutionError, match="unknown key 'quik'; there are app, app_dir, "
    ):
        Solution.read(file)
    file.write_text("quick = ")
    with pytest.raises(SolutionError, match=re.escape(str(file))):
        Solution.read(file)
    with pytest.raises(SolutionError, match="No such file"):
        Solution.read(tmp_path / "missing.toml")
    file.write_text('path = "tasks"')
    with pytest.raises(
        SolutionError, match="path is to begin with a slash, not 'tasks'"
    ):
        Solution.read(file)
    for app in ("", "main", "main:", ":app"):
        with pytest.raises(
            SolutionError, match=f"MODULE:NAME, such as main:app, not '{app}'"
        ):
            Solution.read(None, app=app)
    file.write_text('app = "a:b"')
    assert Solution.read(file, app="c:d").app == "c:d"


def test_an_application_that_cannot_be_imported(tmp_path: Path) -> None:
    broken, missing, nothing = (
        played(tmp_path, source, "submit_answers_202")[0]
        for source in ("import no_such_module", "x = 1", "raise SystemExit(3)")
    )
    assert broken.mark == missing.mark == nothing.mark == "failed"
    assert (
        "ModuleNotFoundError: No module named 'no_such_module' (solution.py, line 1)"
        in broken.happened
    )
    assert "no 'app'; its applications are: none" in missing.happened
    assert "SystemExit: 3" in nothing.happened


def test_a_solution_that_blocks_or_waits_for_ever_fails_and_hangs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_REAL_SECONDS", "1")
    spins = "from fastapi import FastAPI\napp = FastAPI()\n@app.post('/tasks')\nasync def submit():\n    while True: pass"
    waits = spins.replace(
        "while True: pass", "import asyncio; await asyncio.Event().wait()"
    )
    dies = spins.replace("while True: pass", "import os; os._exit(7)")
    assert (
        "came to no rest within 1 real seconds"
        in played(tmp_path, spins, "submit_answers_202")[0].happened
    )
    assert (
        "still waiting after a virtual day"
        in played(tmp_path, waits, "submit_answers_202")[0].happened
    )
    assert (
        "its process ended with exit code 7"
        in played(tmp_path, dies, "submit_answers_202")[0].happened
    )
    blocks = spins.replace(
        "while True: pass", "import threading; threading.Event().wait()"
    )
    hung, remark = played(
        tmp_path, blocks, "submit_answers_202", "processing_takes_no_place"
    )
    assert (
        "It is at solution.py:5: import threading; threading.Event().wait()"
        in hung.happened
    )
    # what the exercise leaves open is no failure, however it went
    assert remark.mark == "remark"


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
    task = {"task_id": str(uuid.uuid4()), "status": "queued", "result": None, "error": None, "at": started()}
    tasks[task["task_id"]] = task
    queue.put_nowait(task)
    return {**task, "status": "queued"}

@app.get("/tasks/{task_id}")
def read(task_id: str):
    if task_id in tasks and datetime.now() - tasks[task_id]["at"] > timedelta(minutes=10):
        del tasks[task_id]
    return tasks[task_id] if task_id in tasks else JSONResponse({"detail": "no such task"}, 404)

@app.get("/tasks")
def read_all():
    return list(tasks.values())
"""


def test_threads_startup_events_globals_and_captured_clocks_run_on_virtual_time(
    tmp_path: Path,
) -> None:
    names = [
        "submit_answers_202",
        "completed_shows_result",
        "unknown_is_404",
        "five_in_parallel",
        "has_type_hints",
    ]
    verdicts = dict(zip(names, played(tmp_path, ODD, *names), strict=True))
    assert {name: verdict.mark for name, verdict in verdicts.items()} == dict.fromkeys(
        names[:3], "passed"
    ) | {
        "five_in_parallel": "failed",
        "has_type_hints": "failed",
    }
    assert any(
        "this is old-fashioned" in warning
        for warning in verdicts["submit_answers_202"].warnings
    )
    removed = played(
        tmp_path,
        ODD.replace("return list(tasks.values())", "return []"),
        "removed_after_ten_minutes",
    )
    assert removed[0].mark == "passed"


def test_the_command_writes_reports_and_explains_a_failing_line(tmp_path: Path) -> None:
    (tmp_path / "solution.py").write_text(ODD, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "tests/conformance",
        "--app",
        "solution:app",
        "--app-dir",
        str(tmp_path),
    ]
    report = tmp_path / "card.html"
    done = subprocess.run(
        [
            *command,
            "-k",
            "five_in_parallel or submit_answers_202",
            "--report",
            str(report),
        ],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ Five tasks are processed in parallel" in done.stdout
    assert "happened: 1 were" in done.stdout
    assert "solution:app: 1 passed, 1 failed" in done.stdout
    assert "Five tasks are processed in parallel" in report.read_text(encoding="utf-8")
    wrong = subprocess.run(
        [*command, "--report", "card.pdf"],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert wrong.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the ending is to be .md or .html" in wrong.stderr


def test_a_card_escapes_what_a_solution_says() -> None:
    requirement = REQUIREMENTS["submit_answers_202"]
    graded = [(requirement, Verdict("failed", "a | b", "<script>", ["Warning: <b>"]))]
    assert "<script>" not in card.page(graded, Solution(app="<script>"))
    assert "a \\| b" in card.markdown(graded, Solution())
    assert (
        card.summary(
            [
                *graded,
                (requirement, Verdict("remark")),
                (requirement, Verdict("remark")),
            ]
        )
        == "1 failed, 2 remarks"
    )


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
    assert (at_once.mark, status.mark) == ("passed", "failed")
    assert "was answered 200" in status.happened


def test_other_spellings_of_the_ends_are_found_out(tmp_path: Path) -> None:
    (tmp_path / "solution.py").write_text(BACKGROUND, encoding="utf-8")
    ((_, verdict),) = grade(
        [(Solution(app="solution:app", app_dir=str(tmp_path)), PREFLIGHT)]
    )
    assert (verdict.mark, verdict.found["cancelled"]) == ("passed", "CANCELED")


def test_this_project_is_not_taken_for_one_that_is_missing(tmp_path: Path) -> None:
    (verdict,) = dict(
        grade([(Solution(app="main:app", app_dir=str(tmp_path)), PREFLIGHT)])
    ).values()
    assert verdict.mark == "failed"
    assert "No module named 'main'" in verdict.happened


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
    return (
        WAYWARD.replace("PREFIX", prefix).replace("SLASH", slash).replace("LUCK", luck)
    )


def preflight(folder: Path, source: str, app: str = "solution:app") -> Verdict:
    (folder / "solution.py").write_text(source, encoding="utf-8")
    ((_, verdict),) = grade(
        [(Solution(app=app, app_dir=str(folder), failed="broken"), PREFLIGHT)]
    )
    return verdict


@pytest.mark.parametrize(
    ("prefix", "slash", "path"),
    [
        ("/tasks", "", None),
        ("/tasks", "/", "/tasks/"),
        ("/api/tasks", "", "/api/tasks"),
        ("/jobs", "", "/jobs"),
    ],
)
def test_names_and_routes_are_found_out(
    tmp_path: Path, prefix: str, slash: str, path: str | None
) -> None:
    verdict = preflight(tmp_path, wayward(prefix, slash))
    names = {
        "task_id": "id",
        "status": "state",
        "queued": "pending",
        "processing": "running",
        "completed": "done",
    }
    # since any task type is accepted, and none does what it says
    taken = {"result": None, "failing": None}
    assert verdict.found == names | taken | ({} if path is None else {"path": path})


def test_one_odd_habit_costs_one_line(tmp_path: Path) -> None:
    source = wayward(slash="/")
    found = preflight(tmp_path, source).found
    names = [
        "submit_answers_202",
        "names_are_as_given",
        "get_shows_fields",
        "unknown_is_404",
        "works_unasked",
    ]
    verdicts = dict(zip(names, played(tmp_path, source, *names, **found), strict=True))
    assert [verdicts[name].mark for name in names] == [
        "failed",
        "remark",
        "passed",
        "passed",
        "passed",
    ]
    assert "task_id is called 'id'" in verdicts["names_are_as_given"].happened
    assert "but inside of 'task'" in verdicts["names_are_as_given"].happened


def test_a_route_that_is_nowhere_is_named(tmp_path: Path) -> None:
    verdict = preflight(
        tmp_path, wayward(prefix="/jobs").replace('get("/{id}")', 'get("/state/{id}")')
    )
    assert (
        "a route POST /tasks (called otherwise? set `path` in a TOML file)"
        in verdict.expected
    )
    assert "there is POST /jobs in /openapi.json" in verdict.happened
    verdict = preflight(
        tmp_path, wayward().replace('get("/{id}")', 'get("/state/{id}")')
    )
    assert (
        "200 from GET /tasks/{task_id} for the task just accepted" in verdict.expected
    )
    assert "there is GET /tasks/state/{id} in /openapi.json" in verdict.happened


def test_a_factory_is_called(tmp_path: Path) -> None:
    assert preflight(tmp_path, wayward(), app="solution:make_app").mark == "passed"


def test_a_startup_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    source = "from fastapi import FastAPI\nasync def start():\n    raise RuntimeError('no disk')\n"
    source += "app = FastAPI(on_startup=[start])"
    assert (
        "RuntimeError: no disk (solution.py, line 3)"
        in preflight(tmp_path, source).happened
    )


def test_its_own_tests_package_is_not_taken_for_this_one(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "clock.py").write_text("SECONDS = 5")
    source = "from tests.clock import SECONDS\n" + wayward()
    assert preflight(tmp_path, source).mark == "passed"


def test_tasks_that_fail_by_chance_are_played_again(tmp_path: Path) -> None:
    lucky = wayward(luck="random.random() < 0.5")
    found = preflight(tmp_path, lucky).found
    assert found["completed"] == "done"
    names = ["works_unasked"] * 6 + ["nothing_is_lost"]
    assert {
        verdict.mark
        for verdict in played(tmp_path, lucky, *names, failed="broken", **found)
    } == {"passed"}
    for never in ("True", "random.random() < 2"):  # and what always fails, fails
        (verdict,) = played(
            tmp_path, wayward(luck=never), "works_unasked", failed="broken", **found
        )
        assert "its status was 'broken'" in verdict.happened


def test_what_cannot_be_played_has_a_card_all_the_same(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/conformance",
        "--app",
        "missing:app",
        "--app-dir",
        str(tmp_path),
    ]
    report = tmp_path / "card.md"
    done = subprocess.run(
        [*command, "--report", str(report)],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No module named 'missing'\nmissing:app: 1 failed" in done.stdout
    assert "It starts and takes a task" in report.read_text(encoding="utf-8")


def test_what_many_lines_have_in_common_is_said_once_at_the_end() -> None:
    requirement = REQUIREMENTS["submit_answers_202"]
    graded = [(requirement, Verdict("failed", "a start", "none came"))] * 5 + [
        (requirement, Verdict("failed", "b", "c"))
    ]
    assert card.same_reason(graded) == [
        "Mend this first: 5 lines say “expected a start; none came”."
    ]
    assert card.same_reason(graded[1:]) == []
    assert "Mend this first" in card.page(graded, Solution())
    assert "Mend this first" in card.markdown(graded, Solution())


def test_a_priority_that_is_refused_is_not_graded(tmp_path: Path) -> None:
    refusing = wayward().replace(
        "(body: dict):",
        "(body: dict):\n    if 'priority' in body: raise HTTPException(400, 'eh')",
    )
    found = preflight(tmp_path, refusing).found
    (verdict,) = played(tmp_path, refusing, "high_goes_first", failed="broken", **found)
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


def test_priorities_may_be_numbers_that_go_either_way_or_words_in_capitals(
    tmp_path: Path,
) -> None:
    up = "{level: number for number, level in enumerate(Level)}[body.priority]"
    for levels, rank, mark in (
        ("1, 2, 3", up, "passed"),
        ("1, 2, 3", f"-{up}", "passed"),
        ("'HIGH', 'MEDIUM', 'LOW'", up, "passed"),
        ("'HIGH', 'MEDIUM', 'LOW'", f"-{up}", "failed"),
        ("1, 2, 3", "0", "failed"),
        ("'a', 'b', 'c'", up, "not graded"),
    ):
        source = NUMBERED.replace("LEVELS", levels).replace("RANK", rank)
        verdict, equal = played(
            tmp_path, source, "high_goes_first", "equal_priorities_keep_their_order"
        )
        assert (verdict.mark, equal.mark) == (
            mark,
            "passed" if mark != "not graded" else mark,
        ), (levels, rank)
        assert (
            levels != "1, 2, 3"
            or mark == "passed"
            or "or the other way round" in verdict.expected
        )


def test_a_list_may_come_in_other_shapes(tmp_path: Path) -> None:
    shapes = {
        "events": (
            "'data: ' + json.dumps(a) + '\\n\\n: still there\\n\\n' + 'data: ' + json.dumps(b) + '\\n\\n'",
            "text/event-stream",
        ),
        "lines": (
            "json.dumps(a) + '\\n' + json.dumps(b) + '\\n'",
            "application/x-ndjson",
        ),
        "by id": (
            "json.dumps({t['task_id']: {'status': 'queued'} for t in (a, b)})",
            "application/json",
        ),
        "inside": ("json.dumps({'count': 2, 'tasks': [a, b]})", "application/json"),
    }
    source = """
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
    for name, (body, kind) in shapes.items():
        verdict = played(
            tmp_path, source.replace("BODY", body).replace("KIND", kind), "list_has_all"
        )[0]
        assert "there were 2" in verdict.happened, name  # of seven: it has read both


def test_what_a_background_task_died_of_is_told(tmp_path: Path) -> None:
    source = """
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
    (verdict,) = played(tmp_path, source, "submit_does_not_wait")
    assert (
        "it came after 2.0 s; before that, clean died: KeyError: 'finished_at' (solution.py, line 6)"
        in verdict.happened
    )


def test_blocking_sleep_is_found_under_any_name(tmp_path: Path) -> None:
    honest = "import asyncio\nasync def work():\n    await asyncio.sleep(5)\n"
    blocking = "from time import sleep as nap\n" + honest + "    nap(5)\n"
    assert played(tmp_path, honest, "uses_sleep")[0].mark == "passed"
    assert "there is nap(5)" in played(tmp_path, blocking, "uses_sleep")[0].happened


def test_errors_classified_with_match_are_found_by_what_they_are(
    tmp_path: Path,
) -> None:
    own = "import asyncio\nclass Trouble(asyncio.QueueFull, RuntimeError): pass\nclass Worse(Trouble): pass\n"
    match = "def kind(x):\n    match x:\n        case CASE: raise ValueError('eh')\n"
    for case, mark in (
        ("Worse()", "passed"),
        ("KeyError()", "passed"),
        ("'sum' | 'mean'", "remark"),
    ):
        (verdict,) = played(
            tmp_path, own + match.replace("CASE", case), "classifies_with_match"
        )
        assert verdict.mark == mark, case
    coded = match.replace("match x", "match error.code").replace("CASE", "404")
    assert played(tmp_path, coded, "classifies_with_match")[0].mark == "passed"
    assert played(tmp_path, own, "has_custom_exceptions")[0].mark == "passed"
    assert (
        played(tmp_path, match.replace("CASE", "1"), "has_custom_exceptions")[0].mark
        == "failed"
    )


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
    found = preflight(tmp_path, source).found
    (verdict,) = played(
        tmp_path, source, "progress_ends_at_100", failed="broken", **found
    )
    assert verdict.mark == mark
    assert mark == "passed" or "it was 99" in verdict.happened


ECHO = """
import json
from fastapi import FastAPI, Request, Response
app, tasks = FastAPI(), []
@app.post("/tasks")
async def submit(request: Request):
    tasks.append({"task_id": str(len(tasks)), "status": "completed", "body": await request.json()})
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
    (infinity,) = played(
        tmp_path, ECHO.replace("ASCII", "True"), "odd_values_are_no_crash"
    )
    assert (infinity.mark, "the body was" in infinity.happened) == ("remark", True)
    finite = ECHO.replace(
        "await request.json()",
        "json.loads((await request.body()).replace(b'1e999', b'0'))",
    )
    assert (
        played(tmp_path, finite.replace("ASCII", "True"), "odd_values_are_no_crash")[
            0
        ].mark
        == "passed"
    )
    (half,) = played(
        tmp_path, finite.replace("ASCII", "False"), "odd_values_are_no_crash"
    )
    assert (half.mark, "\\ud800" in half.expected) == ("remark", True)


def test_a_module_that_this_python_cannot_read_is_not_graded(tmp_path: Path) -> None:
    (verdict,) = played(tmp_path, "def f(:", "uses_sleep")
    assert verdict.mark == "not graded"
    assert "this Python cannot read solution.py: invalid syntax" in verdict.happened


def test_names_in_the_file_and_names_found_out_go_together(tmp_path: Path) -> None:
    (tmp_path / "solution.py").write_text(wayward(), encoding="utf-8")
    solution = Solution(
        app="solution:app",
        app_dir=str(tmp_path),
        failed="broken",
        queued="pending",
        task_id="id",
    )
    ((_, verdict),) = grade([(solution, PREFLIGHT)])
    found = {name: value for name, value in verdict.found.items() if value is not None}
    assert found == {"status": "state", "processing": "running", "completed": "done"}


def test_another_quick_task_may_have_any_result(tmp_path: Path) -> None:
    file = tmp_path / "solution.toml"
    file.write_text('quick = { task_type = "send_email" }')
    assert Solution.read(file).result is None
    file.write_text('quick = { task_type = "send_email" }\nresult = "sent"')
    assert Solution.read(file).result == "sent"


def test_logging_through_a_logger_of_uvicorn_counts(tmp_path: Path) -> None:
    source = (
        wayward()
        .replace("import asyncio,", "import logging, asyncio,")
        .replace(
            '    task["state"] = "running"',
            '    task["state"] = "running"\n    logging.getLogger("uvicorn.error").info("it runs")',
        )
    )
    found = preflight(tmp_path, source).found
    (verdict,) = played(tmp_path, source, "tasks_are_logged", **found)
    assert verdict.mark == "passed"


def test_task_types_that_sound_alike_are_found_out(tmp_path: Path) -> None:
    kinds = "from enum import Enum\nfrom pydantic import BaseModel\nclass Kind(str, Enum):\n    a = 'SUM_NUMBERS'\n"
    kinds += "    b = 'REPORT'\nclass Body(BaseModel):\n    task_type: Kind\n    parameters: dict\n"
    verdict = preflight(tmp_path, kinds + wayward().replace("body: dict", "body: Body"))
    assert verdict.found["quick"] == {
        "task_type": "SUM_NUMBERS",
        "parameters": {"numbers": [1, 2, 3]},
    }
    assert verdict.found["slow"]["task_type"] == "REPORT"
    assert {body["task_type"] for body in verdict.found["bad_parameters"]} == {
        "SUM_NUMBERS"
    }
    assert 'the slow task is {"task_type": "REPORT"' in card.adopted(
        Solution(**verdict.found)
    )


SCHEMA = {
    "paths": {
        "/jobs": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Job"}
                        }
                    }
                }
            }
        }
    },
    "components": {
        "schemas": {
            "Kind": {"enum": ["resize", "mail"]},
            "Job": {
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
            },
        }
    },
}


def test_bodies_are_made_from_the_openapi_document() -> None:
    common = {
        "payload": {"to": "someone@example.org"},
        "idempotency_key": "{unique}",
        "retries": 3,
        "tags": ["textxx"],
    }
    assert bodies.bodies(SCHEMA, "/jobs") == [
        {"job_type": kind, **common} for kind in ("resize", "mail")
    ]
    assert bodies.bodies(SCHEMA, "/tasks") == bodies.bodies({}, "/tasks") == []
    quick = tomllib.loads(f"quick = {bodies.as_toml({'job_type': 'mail', **common})}")[
        "quick"
    ]
    assert quick == {"job_type": "mail", **common}
    assert bodies.invalid(quick)[2] == {**quick, "job_type": "no_such_type"}
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
    (tmp_path / "solution.py").write_text(OWN_BODIES, encoding="utf-8")
    ((_, verdict),) = grade(
        [(Solution(app="solution:app", app_dir=str(tmp_path)), PREFLIGHT)]
    )
    found = verdict.found
    assert [found[name]["job_type"] for name in ("quick", "slow", "failing")] == [
        "short",
        "long",
        "broken",
    ]
    assert found["quick"]["key"] == "{unique}"
    assert found["invalid"][2]["job_type"] == "no_such_type"
    names = ("path", "task_id", "status", "queued", "processing", "completed")
    assert [found[name] for name in names] == [
        "/jobs",
        "job_id",
        "state",
        "accepted",
        "running",
        "succeeded",
    ]
    names_now = dict(verdict.found)
    verdicts = played(
        tmp_path,
        OWN_BODIES,
        "ids_differ",
        "works_unasked",
        "cancel_processing",
        **names_now,
    )
    assert [each.mark for each in verdicts] == ["passed", "passed", "failed"]


def test_a_long_poll_or_a_delete_that_there_is_not_is_no_success(
    tmp_path: Path,
) -> None:
    names = [
        "cancel_frees_worker",
        "cancel_wakes_waiters",
        "wait_holds_up_nobody",
        "wait_is_not_busy",
    ]
    found = preflight(tmp_path, wayward()).found
    verdicts = played(tmp_path, wayward(), *names, failed="broken", **found)
    assert [verdict.mark for verdict in verdicts] == ["not graded"] * 4
    assert "DELETE /tasks/" in verdicts[0].happened
    assert "answered at once" in verdicts[1].happened


def test_a_tool_counts_where_it_is_the_one_that_the_exercise_names(
    tmp_path: Path,
) -> None:
    source = "import asyncio as aio, threading\nfrom collections import deque as D\nclass Event: pass\n"
    source += "lock, queue, times = threading.Lock(), aio.Queue(), D()\napp = 'Queue deque Lock gather'\nEvent()\n"
    names = ["uses_queue", "uses_deque", "uses_lock", "uses_event", "uses_gather"]
    marks = [verdict.mark for verdict in played(tmp_path, source, *names)]
    assert marks == ["passed", "passed", "failed", "failed", "failed"]
    anew = "import asyncio\nasync def allow():\n    async with asyncio.Lock(): pass\n"
    assert (
        "makes a new one each time" in played(tmp_path, anew, "uses_lock")[0].happened
    )


def test_the_source_of_what_cannot_be_imported_is_not_graded(tmp_path: Path) -> None:
    (verdict,) = played(tmp_path, "import no_such_module", "uses_queue")
    assert (verdict.mark, "no_such_module" in verdict.happened) == ("not graded", True)


def test_threads_of_the_solution_may_sleep(tmp_path: Path) -> None:
    sleeps = "import threading, time\nthreading.Thread(target=lambda: time.sleep(60), daemon=True).start()\n"
    (verdict,) = played(tmp_path, sleeps + ODD, "submit_answers_202")
    assert verdict.mark == "passed"


def test_a_report_that_cannot_be_written_costs_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/conformance",
        "-k",
        "submit_answers_202",
        "--report",
    ]
    (tmp_path / "card.md").mkdir()
    done = subprocess.run(
        [*command, str(tmp_path / "card.md")],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "the report could not be written: " in done.stdout
    assert "Traceback" not in done.stdout


def test_a_file_in_place_of_a_module_is_told_how_to_be_named() -> None:
    with pytest.raises(
        SolutionError,
        match=re.escape("not its file: main:app, and its folder with --app-dir"),
    ):
        Solution.read(None, app="src/main.py:app")


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
    source = (
        LEAKING.replace("IDENTITY", identity)
        .replace("KEPT", kept)
        .replace("KEEP", keep)
    )
    source = source.replace("TYPE", "int" if "next" in identity else "uuid.UUID")
    (verdict,) = played(tmp_path, source, "store_forgets")
    assert (verdict.mark, left in verdict.happened) == (
        "failed" if left else "passed",
        True,
    )


def test_a_single_line_of_ndjson_is_a_list_of_one(tmp_path: Path) -> None:
    source = """
import json
from fastapi import FastAPI, Response
app = FastAPI()
@app.post("/tasks", status_code=202)
async def submit():
    return {"task_id": "1", "status": "queued"}
@app.get("/tasks")
async def read_all():
    return Response(json.dumps({"task_id": "1", "status": "queued"}), media_type="application/x-ndjson")
"""
    # of seven
    assert "there were 1" in played(tmp_path, source, "list_has_all")[0].happened


def test_priorities_that_are_documented_go_before_those_that_happen_to_be_accepted(
    tmp_path: Path,
) -> None:
    source = NUMBERED.replace("LEVELS", "'HIGH', 'MEDIUM', 'LOW'").replace(
        "class Level(Enum):", LENIENT
    )
    source = source.replace("RANK", "list(Level).index(body.priority)")
    assert [
        each.mark
        for each in played(
            tmp_path, source, "high_goes_first", "unknown_priority_is_400"
        )
    ] == [
        "passed",
        "remark",
    ]


LENIENT = """class Level(Enum):
    @classmethod
    def _missing_(cls, value):
        return cls.second
"""


def test_a_task_that_fails_by_chance_is_not_taken_for_one_that_fails(
    tmp_path: Path,
) -> None:
    by_chance = OWN_BODIES.replace(
        '"failed" if kind == "broken"', '"failed" if kind == "broken" and len(jobs) % 2'
    )
    (tmp_path / "solution.py").write_text(by_chance, encoding="utf-8")
    ((_, verdict),) = grade(
        [(Solution(app="solution:app", app_dir=str(tmp_path)), PREFLIGHT)]
    )
    assert "failing" not in verdict.found


def test_where_any_task_type_is_accepted_the_default_ones_promise_nothing(
    tmp_path: Path,
) -> None:
    found = preflight(tmp_path, wayward()).found
    names = ["completed_shows_result", "failure_is_shown", "invalid_is_400"]
    verdicts = played(
        tmp_path,
        wayward().replace('"done"', '"done"\n    task["result"] = "any"'),
        *names,
        **found,
    )
    assert [verdict.mark for verdict in verdicts] == ["passed", "not graded", "failed"]
