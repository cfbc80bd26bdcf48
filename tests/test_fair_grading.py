"""The grading is fair: load, threads, chance and tricks change nothing.

What is its own fault is told as such.
"""

import ast
import dataclasses
import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import card, gauge, watchdog
from tests.conformance.causes import settled
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX, GradingError, Player, grade
from tests.conformance.requirement import (
    REQUIREMENTS,
    Requirement,
    Verdict,
    load_all,
    worst_of,
)
from tests.conformance.solution import Solution
from tests.helpers import project_root

load_all()
pytestmark = pytest.mark.skipif(not CAN_GRADE, reason=NEEDS_POSIX)
CONFORMANCE = project_root() / "tests" / "conformance"


def saved(folder: Path, name: str, source: str) -> Solution:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return Solution(app=f"{name}:app", app_dir=str(folder))


def played_all(
    folder: Path, sources: dict[str, str], *names: str, seed: int = 1
) -> dict[tuple[str, str], Verdict]:
    """All verdicts, by the names of source and requirement."""
    plays = [(key, name) for key in sources for name in names]
    solutions = {key: saved(folder, key, source) for key, source in sources.items()}
    jobs = [(solutions[key], REQUIREMENTS[name]) for key, name in plays]
    return {plays[index]: verdict for index, verdict in grade(jobs, seed)}


def command(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest", "tests/conformance", "-q", *arguments],
        cwd=project_root(),
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=120,
    )


# Load


class Kernel:
    """What a process had of the processor, as told step by step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, knows_queue: bool) -> None:
        self.time = 0.0
        self.reading = gauge.Reading(0.0, 0.0, eager=False)
        monkeypatch.setattr(gauge, "HAS_RUN_QUEUE", knows_queue)
        monkeypatch.setattr(gauge, "now", lambda: self.time)
        monkeypatch.setattr(gauge, "read", lambda *_: self.reading)
        monkeypatch.setattr(time, "process_time", lambda: self.reading.used)
        self.load = gauge.Load()

    def step(self, seconds: float, **had: Any) -> None:
        """So long goes by while the watchdog sleeps for 0.25 s."""
        self.time += seconds
        used, queued, _ = self.reading
        self.reading = gauge.Reading(
            used=used + had.get("used", 0.0),
            queued=queued + had.get("queued", 0.0),
            eager=had.get("eager", False),
        )
        self.load.look(0.25)


@pytest.mark.parametrize(
    ("knows_queue", "had"),
    [
        # It was given nothing, and wants to run, or has wanted to.
        (True, {"eager": True}),
        (True, {"queued": 0.9}),
        # Where the kernel does not say so, the watchdog woke late.
        (False, {}),
    ],
)
def test_a_process_without_a_processor_is_not_taken_for_one_that_blocks(
    monkeypatch: pytest.MonkeyPatch, knows_queue: bool, had: dict[str, Any]
) -> None:
    kernel = Kernel(monkeypatch, knows_queue)
    for _ in range(100):
        kernel.step(1.0, **had)
        assert watchdog.judged(kernel.load) not in (
            watchdog.BLOCKED,
            None if kernel.time > watchdog.AT_MOST else "",
        )
    assert kernel.load.still == 0


def test_where_the_processor_does_not_come_the_machine_is_too_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(monkeypatch, knows_queue=True)
    told = None
    while told is None:
        kernel.step(1.0, used=0.01, queued=0.99)
        told = watchdog.judged(kernel.load)
    assert kernel.time == pytest.approx(watchdog.AT_MOST, abs=1)
    assert "the machine is too busy" in told
    assert gauge.NAME in told


def test_a_process_that_wants_nothing_blocks_however_busy_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(monkeypatch, knows_queue=True)
    told = None
    while told is None:
        # The watchdog itself is late.
        kernel.step(1.0)
        told = watchdog.judged(kernel.load)
    assert told == watchdog.BLOCKED
    assert kernel.load.still == watchdog.BLOCKED_SECONDS


def test_one_that_works_for_too_long_comes_to_no_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(monkeypatch, knows_queue=True)
    kernel.step(9.0, used=watchdog.REAL_SECONDS)
    assert watchdog.judged(kernel.load) == watchdog.NO_REST

    # It looks again and again for something that never comes.
    kernel = Kernel(monkeypatch, knows_queue=True)
    kernel.step(watchdog.UNHINDERED, used=0.1 * watchdog.UNHINDERED)
    assert watchdog.judged(kernel.load) == watchdog.NO_REST


@pytest.mark.slow
@pytest.mark.skipif(not gauge.HAS_RUN_QUEUE, reason="the kernel does not tell")
@pytest.mark.parametrize(
    ("program", "works"),
    [
        ("while True: pass", True),
        # In a process of its own, while it waits.
        (
            "import subprocess, sys\n"
            "subprocess.run([sys.executable, '-c', 'while True: pass'])",
            True,
        ),
        ("import threading; threading.Event().wait()", False),
    ],
)
def test_the_kernel_tells_who_works_and_who_waits(program: str, works: bool) -> None:
    source = f"print(flush=True)\n{program}"
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            before = gauge.read(process.pid)
            time.sleep(0.1)
            after = gauge.read(process.pid)
            wanted = after.used + after.queued - before.used - before.queued
            if (after.eager or wanted > 0.01) == works:
                break
        else:
            pytest.fail("it was never seen to be so")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_the_card_names_its_gauge() -> None:
    assert gauge.NAME in card.text([], Solution())
    assert gauge.NAME in card.markdown([], Solution())
    assert html.escape(gauge.NAME) in card.page([], Solution())


STUCK = """
import threading; LOCK = threading.Lock(); LOCK.acquire()
from fastapi import FastAPI
app = FastAPI()
@app.post("/tasks", status_code=202)
async def submit():
    HANG
"""


@pytest.mark.slow
def test_what_really_blocks_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_REAL_SECONDS", "1")
    hangs = {
        "lock": "LOCK.acquire()",
        "event": "threading.Event().wait()",
        # It holds the interpreter, so that no other thread can tell.
        "in_c": "sum(range(10**13))",
    }
    sources = {key: STUCK.lstrip().replace("HANG", hang) for key, hang in hangs.items()}
    found = played_all(tmp_path, sources, "submit_answers_202")
    for key, hang in hangs.items():
        verdict = found[key, "submit_answers_202"]
        assert verdict.mark == "failed"
        assert f"It is at {key}.py:6: {hang}" in verdict.happened


# Threads

THREADS = """
import asyncio, concurrent.futures, queue, select, threading, time, uuid
from fastapi import FastAPI

app, tasks = FastAPI(), {}
pool = concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="mine")
jobs, gone = queue.Queue(), threading.Event()

def in_a_thread(wait):
    def serve():
        while True:
            loop, future = jobs.get()
            wait()
            loop.call_soon_threadsafe(future.set_result, None)
    for _ in range(8):
        threading.Thread(target=serve, daemon=True, name="my own").start()

def start_timer(seconds, loop, future):
    done = loop.call_soon_threadsafe
    threading.Timer(seconds, done, (future.set_result, None)).start()

def sleep_by_turns():
    until = time.clock_gettime(time.CLOCK_MONOTONIC) + 5
    while time.clock_gettime(time.CLOCK_MONOTONIC) < until:
        time.sleep(0.5)

def wait_for_nothing():
    try:
        queue.SimpleQueue().get(timeout=5)
    except queue.Empty:
        pass

START

async def work(task):
    task["status"] = "processing"
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    WORK
    task["status"], task["result"] = "completed", 6

@app.post("/tasks", status_code=202)
async def submit(body: dict):
    task = {"task_id": str(uuid.uuid4()), "status": "queued"}
    tasks[task["task_id"]] = task
    task["work"] = asyncio.create_task(work(task))
    return {"task_id": task["task_id"], "status": "queued"}

@app.get("/tasks/{task_id}")
async def show(task_id: str):
    shown = tasks[task_id]
    return {key: value for key, value in shown.items() if key != "work"}
"""
IN_ITS_THREAD = "jobs.put((loop, future)); await future"
# How they work for five seconds: at the start, and for each task.
WAYS = {
    "pool_of_its_own": ("", "await loop.run_in_executor(pool, time.sleep, 5)"),
    "its_default_pool": (
        "",
        "loop.set_default_executor(pool); await asyncio.to_thread(time.sleep, 5)",
    ),
    "event": ("", "await asyncio.to_thread(gone.wait, 5)"),
    "by_turns": ("", "await asyncio.to_thread(sleep_by_turns)"),
    "simple_queue": ("", "await asyncio.to_thread(wait_for_nothing)"),
    "without_the_loop": ("", "await asyncio.wrap_future(pool.submit(time.sleep, 5))"),
    "timer": ("", "start_timer(5, loop, future); await future"),
    "thread": ("in_a_thread(lambda: time.sleep(5))", IN_ITS_THREAD),
    "processes": (
        "processes = concurrent.futures.ProcessPoolExecutor(2)",
        "await loop.run_in_executor(processes, pow, 2, 3); await asyncio.sleep(5)",
    ),
}


@pytest.mark.slow
def test_work_in_any_thread_takes_its_virtual_time(tmp_path: Path) -> None:
    sources = {
        key: THREADS.replace("START", start).replace("WORK", work)
        for key, (start, work) in WAYS.items()
    }
    names = ["completed_shows_result", "work_takes_its_time"]
    found = played_all(tmp_path, sources, *names)
    for play, verdict in found.items():
        assert verdict.mark == "passed", (play, verdict)
        assert "virtual time does not reach" not in "".join(verdict.warnings), play


@pytest.mark.slow
def test_what_virtual_time_does_not_reach_is_not_graded(tmp_path: Path) -> None:
    start = "in_a_thread(lambda: select.select([], [], [], 60))"
    source = THREADS.replace("START", start).replace("WORK", IN_ITS_THREAD)
    name = "completed_shows_result"
    verdict = played_all(tmp_path, {"beyond": source}, name)["beyond", name]
    assert verdict.mark == "not graded"
    told = "virtual time does not reach the thread my own"
    assert told in verdict.happened
    assert told in verdict.warnings


@pytest.mark.slow
def test_a_loop_that_waits_for_a_thread_stands_still_for_its_virtual_time(
    tmp_path: Path,
) -> None:
    waits = THREADS.replace("START", "").replace(
        "async def submit(body: dict):",
        "async def submit(body: dict):\n    pool.submit(time.sleep, 5).result()",
    )
    name = "submit_does_not_wait"
    source = waits.replace("WORK", "await asyncio.sleep(5)")
    verdict = played_all(tmp_path, {"waits": source}, name)["waits", name]
    assert verdict.mark == "failed"
    assert verdict.happened == "it came after 5.0 s"


# Tricks, and accidents that look like them

FORGED = """
import json, os, stat, sys
told = {"mark": "passed", "expected": "", "happened": "", "warnings": [],
        "seeds": 1, "found": {}, "runs": {}}
for descriptor in range(3, 64):
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.write(descriptor, json.dumps([told]).encode() + b"\\n")
    except OSError:
        pass
"""
# It walks to the grading's own functions, and calls what tells.
FRAMES = """
import os, sys
frame = sys._getframe()
while frame:
    verdict, tell = frame.f_globals.get("Verdict"), frame.f_locals.get("tell")
    if verdict and tell:
        tell([verdict("passed")])
    frame = frame.f_back
os._exit(0)
"""
TRICKS = {
    "forged": FORGED + "os._exit(0)",
    "garbage": FORGED.replace("[told]", "{}") + "sys.exit(0)",
    "exit": "import sys; sys.exit(0)",
    "hard_exit": "import os; os._exit(0)",
    "at_exit": "import atexit, sys; atexit.register(print, 'passed'); sys.exit(0)",
    "printed": 'print(\'{"mark": "passed"}\'); x = 1',
    "other_json": 'import json\njson.dumps = lambda *_, **__: \'[{"mark": "passed"}]\'',
    "frames": FRAMES,
    "closed": "import os; os.closerange(3, 256)",
}


@pytest.mark.slow
def test_no_submission_tells_its_own_verdict(tmp_path: Path) -> None:
    names = ["uses_queue", "submit_answers_202"]
    found = played_all(tmp_path, TRICKS, *names)
    # Whose import fails, its source is not read.
    marks = {verdict.mark for verdict in found.values()}
    assert marks <= {"failed", "not graded"}
    assert {found[key, "submit_answers_202"].mark for key in TRICKS} == {"failed"}

    wrote = found["forged", "uses_queue"].happened
    ended = "its process ended with exit code 0; it wrote "
    assert re.match(rf"{ended}\d+ bytes where only the grading writes", wrote)
    closed = found["closed", "uses_queue"].happened
    assert "it closed a file that it had not opened" in closed


@pytest.mark.slow
def test_what_a_submission_starts_ends_with_it(tmp_path: Path) -> None:
    source = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    open('child', 'w').write(str(os.getpid()))\n"
        "    while True: time.sleep(60)\n"
    )
    names = ["uses_queue"]
    [verdict] = played_all(tmp_path, {"forks": source}, *names).values()
    assert verdict.mark == "failed"
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    """Whether it is there, and not only waits to be forgotten."""
    told = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)],
        capture_output=True,
        text=True,
    )
    state = told.stdout.strip()
    return bool(state) and not state.startswith("Z")


# Chance

RANDOM = """
import random, secrets, uuid
from fastapi import FastAPI, HTTPException
app = FastAPI()
drawn = [hash("x"), random.random(), random.Random().random(),
         random.SystemRandom().random(), secrets.token_hex(4), str(uuid.uuid4())]
@app.post("/tasks")
async def submit():
    raise HTTPException(500, drawn)
"""


@pytest.mark.slow
def test_all_that_is_random_comes_from_the_seed(tmp_path: Path) -> None:
    name = "submit_answers_202"

    def drawn(seed: int) -> Any:
        [verdict] = played_all(tmp_path, {"draws": RANDOM}, name, seed=seed).values()
        numbers = verdict.happened.partition('"detail":')[2]
        return re.findall(r'[^\[\],"}]+', numbers)

    first = drawn(1)
    assert len(first) >= 5
    assert drawn(1) == first
    assert not set(drawn(2)) & set(first)


def test_the_worst_of_several_runs_counts_and_is_marked_as_flaky() -> None:
    passed = Verdict("passed")
    failed = Verdict("failed", "a", "b")
    requirement = REQUIREMENTS["submit_answers_202"]

    flaky = worst_of([passed, failed, passed])
    assert flaky.mark == "failed"
    assert flaky.runs == {"passed": 2, "failed": 1}
    shown = card.text([(requirement, flaky)], Solution())
    assert f"✗≈ {requirement.text}" in shown
    assert "flaky: of 3 runs, 2 passed, 1 failed" in shown
    assert "1 failed, 1 flaky (≈)" in shown

    assert not worst_of([failed, failed]).is_flaky
    assert worst_of([passed]) == passed


@pytest.mark.slow
def test_what_differs_from_run_to_run_is_found_by_repeating(tmp_path: Path) -> None:
    source = (
        "import random\n"
        "from fastapi import FastAPI\n"
        "app, status = FastAPI(), random.choice([200, 202])\n"
        "@app.post('/tasks', status_code=status)\n"
        "async def submit(): return {'task_id': '1', 'status': 'queued'}\n"
        "@app.get('/tasks/1')\n"
        "async def show(): return {'task_id': '1', 'status': 'completed'}\n"
    )
    saved(tmp_path, "flaky", source)
    graded = ["--app", "flaky:app", "--app-dir", str(tmp_path), "--repeat", "5"]
    done = command(*graded, "-k", "submit_answers_202")
    assert "✗≈ POST /tasks answers 202" in done.stdout, done.stdout + done.stderr
    assert command("--repeat", "0").returncode == pytest.ExitCode.USAGE_ERROR


# Its own failures


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mark": "excellent"}, "the mark of a verdict is 'excellent'"),
        ({"happened": None}, "the happened of a verdict is None"),
        ({"grade": "A"}, "this is no verdict"),
    ],
)
def test_a_malformed_verdict_is_none(change: dict[str, Any], told: str) -> None:
    good = dataclasses.asdict(Verdict("passed"))
    assert Verdict.read(good) == Verdict("passed")
    with pytest.raises(ValueError, match=told):
        Verdict.read(good | change)


def test_what_was_held_back_is_told_when_the_playing_breaks_off() -> None:
    waits = REQUIREMENTS["list_has_all"]
    never = REQUIREMENTS["list_by_status"]
    explained = Verdict("failed", "some of it", "none", needs=[waits.name])

    def broken() -> Iterator[tuple[int, Verdict]]:
        yield 1, explained
        raise GradingError("no room on this disk")

    solution = Solution()
    told = settled([(solution, waits), (solution, never)], broken())
    assert next(told) == (1, explained)
    with pytest.raises(GradingError, match="no room on this disk"):
        next(told)


@pytest.mark.slow
def test_a_grading_that_breaks_down_keeps_what_it_has_and_says_why(
    tmp_path: Path,
) -> None:
    solution = saved(tmp_path, "empty", "app = None")
    known = REQUIREMENTS["uses_queue"]
    unknown: Requirement = dataclasses.replace(known, name="no_such_line")
    with Player() as player:
        [(_, verdict)] = player.play([(solution, known)])
        assert verdict.mark == "failed"
        with pytest.raises(GradingError, match="no_such_line"):
            list(player.play([(solution, unknown)]))


@pytest.mark.slow
def test_a_broken_grading_has_one_message_and_a_card(tmp_path: Path) -> None:
    # Python ends before anything is played.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if sys.argv[-1:] == ['1']: sys.exit('no room on this disk')\n"
        "if '-m' in sys.orig_argv and 'tests.conformance.play' in sys.orig_argv:\n"
        "    sys.exit('no room on this disk')\n"
    )
    done = command("-k", "uses_", PYTHONPATH=str(tmp_path))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert " 1 failed" in done.stdout.replace("\n1 failed", "\n 1 failed")
    assert "error" not in done.stdout.rpartition("\n1 failed")[2]
    assert "the grading itself failed: " in done.stdout
    assert "no room on this disk" in done.stdout
    assert "score card" in done.stdout


@pytest.mark.slow
def test_an_end_in_the_middle_keeps_the_verdicts_so_far(tmp_path: Path) -> None:
    report = tmp_path / "card.md"
    grading = subprocess.Popen(
        [sys.executable, "-m", "pytest", "tests/conformance", "--report", str(report)],
        cwd=project_root(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and "| ✓ |" not in read_if_any(report):
            time.sleep(0.05)
        grading.terminate()
        said, _ = grading.communicate(timeout=60)
    finally:
        grading.kill()
        grading.wait()

    assert grading.returncode == pytest.ExitCode.INTERRUPTED
    for kept in (said, report.read_text(encoding="utf-8")):
        assert "✓" in kept
        assert "it was ended before this was played" in kept


def read_if_any(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


# What else is installed

PLUGIN = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    pytest.skip("this plugin skips it all")
"""


@pytest.mark.slow
def test_other_plugins_of_pytest_do_not_change_the_card(tmp_path: Path) -> None:
    (tmp_path / "meddling.py").write_text(PLUGIN, encoding="utf-8")
    about = tmp_path / "meddling-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: meddling\n")
    (about / "entry_points.txt").write_text("[pytest11]\nmeddling = meddling\n")

    # Where pytest finds the grading's settings, and the project's.
    for folder in ([], ["--app", "main:app", "--app-dir", "."]):
        done = command("-k", "submit_answers_202", *folder, PYTHONPATH=str(tmp_path))
        assert "main:app: 1 passed" in done.stdout, done.stdout + done.stderr
        assert "\n1 passed" in done.stdout


def test_the_grading_needs_no_more_than_its_own_requirements() -> None:
    text = (CONFORMANCE / "requirements.txt").read_text(encoding="utf-8")
    named = set(re.findall(r"^([a-z-]+)", text, re.MULTILINE))

    imported: set[str] = set()
    for path in CONFORMANCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    packages = {name.partition(".")[0] for name in imported}
    # Of Python 3.11 and later.
    known = sys.stdlib_module_names | {"tests", "tomllib"}
    needed = {name.replace("_", "-") for name in packages - known}
    assert needed <= named


def test_the_json_of_a_verdict_can_be_read_again() -> None:
    verdict = Verdict("failed", "a", "b", ["c"], found={"quick": {"n": 1e400}})
    again = json.loads(json.dumps(dataclasses.asdict(verdict)))
    assert Verdict.read(again) == verdict
