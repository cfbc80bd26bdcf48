"""Every benchmark runs, in its smallest size, with all its checks.

Reports are written, and failures are loud.
"""

import asyncio
import contextlib
import functools
import itertools
import json
import math
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks import contestants, load, loopback, processes, report
from benchmarks.__main__ import NAMES, Run, run
from benchmarks.__main__ import arguments as given_arguments
from benchmarks.contestants import Contestant
from benchmarks.harness import (
    Bench,
    Chart,
    CheckFailedError,
    Spread,
    Table,
    figures_of,
    percentile,
    shown,
)
from tests import syntax
from tests.helpers import project_root

DRAWS = pytest.mark.skipif(
    find_spec("matplotlib") is None,
    reason="the pictures need benchmarks/requirements.txt",
)

pytestmark = pytest.mark.slow
quick = functools.cache(functools.partial(run, size="quick"))
ALTERNATIVES = project_root() / "benchmarks" / "alternatives"
MODULES = sorted(
    path.stem
    for path in ALTERNATIVES.glob("*.py")
    if path.stem == "background_tasks" or path.stem.startswith("with_")
)
posix = pytest.mark.skipif(
    sys.platform == "win32", reason="terminals and signals as on POSIX"
)


def command(*arguments: object) -> list[str]:
    words = [str(argument) for argument in arguments]
    return [
        sys.executable,
        "-m",
        "benchmarks",
        *words,
    ]


def found_in(folder: Path) -> Any:
    """What a run has written to found.json, which is plain JSON."""
    text = (folder / "found.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=pytest.fail)


def ran(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        cwd=project_root(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# The peers, where they are installed, warn as they like.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_its_smallest_size(name: str) -> None:
    if name in report.WHOLE and sys.platform == "win32":
        pytest.skip("it kills sessions of processes, as POSIX has them")
    bench = quick(name)

    assert bench.tables
    assert bench.samples
    for table in bench.tables:
        assert all(len(row) == len(table.header) for row in table.rows)
    for chart in bench.charts:
        assert all(points for points in chart.series.values())


def test_every_benchmark_is_among_the_subjects_of_the_readme() -> None:
    text = report.README.read_text(encoding="utf-8")
    subjects = re.findall(r"^\| \[`(\w+)`\]\(bench_\1\.py\)", text, re.MULTILINE)
    assert subjects == NAMES
    assert subjects[:2] == ["concurrency", "ratelimit"]


async def test_measurements_alternate_and_ratios_are_taken_round_by_round() -> None:
    log: list[str] = []
    warm_up = [9.0]
    measured = {"a": [1.0, 2.0, 4.0], "b": [2.0, 2.0, 12.0]}
    speeds = {name: iter(warm_up + taken) for name, taken in measured.items()}

    async def sample(name: str) -> float:
        log.append(name)
        return next(speeds[name])

    bench = Bench("test", "default")
    samples = {name: functools.partial(sample, name) for name in measured}
    figures = await bench.compare("T", "µs", samples, rounds=3)

    assert "".join(log) == "abababab"
    assert bench.samples == {"T": measured}
    assert (figures["a"].median, figures["a"].ratio) == (2.0, 1.0)
    # The ratios of b are 2, 1 and 3.
    assert (figures["b"].median, figures["b"].ratio) == (2.0, 2.0)
    # The quartiles are of the ratios, not of the figures.
    assert figures["b"].spread == (1.5, 2.5)
    assert figures["a"].times(figures["b"]) == 0.5
    assert (
        report.markdown(bench.tables[0]).splitlines()[-1]
        == "| b | 2.00       | 2.00       | 1.50 to 2.50  |"
    )


def test_a_ratio_that_straddles_1_is_called_no_difference() -> None:
    assert str(Spread(0.97, 1.02)) == "0.970 to 1.02: no difference measurable"
    assert str(Spread(1.01, 1.02)) == "1.01 to 1.02"
    assert str(figures_of({"reference": [1.0, 2.0]})["reference"].spread) == ""


def test_a_failed_check_stops_the_run_and_a_missed_target_does_not() -> None:
    bench = Bench("test", "default")
    bench.target("speed", 3.0, at_most=2)
    bench.target("speed", 3.0, at_least=2)

    assert [target.met for target in bench.targets] == [False, True]
    with pytest.raises(CheckFailedError, match="test: a result is wrong"):
        bench.check(False, "a result is wrong")


@pytest.mark.parametrize("name", ["poll", "submit"])
def test_a_server_that_does_not_complete_its_tasks_fails_the_check(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loopback.SETTINGS, "work_scale", 1000)
    monkeypatch.setattr(load, "PATIENCE", 0.1)

    with pytest.raises(CheckFailedError, match="tasks are not done"):
        run(name, "quick")


async def test_an_answer_with_another_status_or_body_fails_the_check() -> None:
    with load.server("benchmarks.bare:app") as port:
        ask = functools.partial(
            load.hammer,
            port,
            load.http_request("GET", "/health"),
            connections=2,
            seconds=0.01,
        )
        await ask()

        with pytest.raises(CheckFailedError, match="answered"):
            await ask(expect=202)
        with pytest.raises(CheckFailedError, match="answered"):
            await ask(body=b"{}")


def test_a_peer_that_is_not_installed_is_left_out_and_said_before_the_figures() -> None:
    bench = Bench("test", "quick")
    bench.table("T", ["", "µs"], [("one", 1)])

    assert bench.peer("no_such_library.module") is None
    assert bench.left_out == [
        "no_such_library: not installed; pip install -r benchmarks/requirements.txt"
    ]
    text = report.text_of(bench)
    assert re.search("Left out: no_such_library.*one", text, re.DOTALL)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(10, [5, 9, math.nan]), (99, [50, 90, math.nan]), (100, [50, 90, 99])],
)
def test_the_nearest_rank_percentile(largest: int, expected: list[float]) -> None:
    found = [percentile(range(1, largest + 1), percent) for percent in (50, 90, 99)]
    assert found == pytest.approx(expected, abs=0, rel=0, nan_ok=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.00"),
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (123.45, "123"),
        (1234567, "1,234,567"),
        ("x", "x"),
        (math.nan, "-"),
    ],
)
def test_figures_have_three_digits(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_table_reads_well_in_a_terminal_too() -> None:
    assert report.markdown(Table("T", ["", "µs"], [["one", 1], ["three", 12]])) == (
        "**T**\n\n|       | µs |\n|-------|---:|\n| one   | 1  |\n| three | 12 |"
    )


def test_a_busy_machine_is_noticed() -> None:
    cores = os.cpu_count() or 1
    assert "BUSY" not in report.load_line([cores / 8, 2.0])
    assert "BUSY" in report.load_line([float(cores)])
    assert "BUSY" in report.load_line([0.0, cores + 3.0])


def test_the_command_prints_and_writes_what_it_found(tmp_path: Path) -> None:
    done = ran("dispatch", "--quick", "--json", tmp_path / "found.json")

    assert done.returncode == 0
    assert "Quick: no results." in done.stdout
    assert "Load average: " in done.stdout
    assert "MISSED" not in done.stdout

    found = found_in(tmp_path)
    assert found["command"].startswith("python -m benchmarks dispatch --quick")
    assert found["ended"] == "complete"
    assert found["environment"]["versions"]["fastapi"]

    [bench] = found["benchmarks"]
    assert bench["name"] == "dispatch"
    name, *figures, quartiles = bench["tables"][0]["rows"][1]
    assert name == "taskmanager"
    assert all(isinstance(figure, float) for figure in [*figures, *quartiles])
    assert len(bench["samples"][bench["tables"][0]["title"]]["taskmanager"]) == 1


def test_what_json_cannot_say_is_null(tmp_path: Path) -> None:
    bench = Bench("test", "quick")
    bench.table("T", ["", "p99"], [("too few", math.nan)])
    report.write_json(tmp_path / "found.json", [bench], command="")

    found = found_in(tmp_path)
    assert found["benchmarks"][0]["tables"][0]["rows"] == [["too few", None]]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["disptach"], "no benchmark is called disptach; there are concurrency, "),
        (["--readme", "dispatch"], "--readme replaces all results"),
        (["--readme", "--quick"], "--readme replaces all results"),
        (["--json", "{file}/found.json"], "Not a directory"),
        pytest.param(["--plots", "{file}"], "File exists", marks=DRAWS),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_before_anything_runs(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    before = report.README.read_bytes()

    done = ran(*(argument.format(file=tmp_path / "file") for argument in arguments))

    assert done.returncode == 2
    assert complaint in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert report.README.read_bytes() == before


def test_results_are_not_written_without_all_peers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "PACKAGES", ["fastapi", "no-such-library"])
    assert report.why_not_readme(["poll"]) == "not without no-such-library"
    monkeypatch.setattr(report, "PACKAGES", ["fastapi"])
    assert report.why_not_readme(["poll"]) == ""

    monkeypatch.setattr(report, "WHOLE_PACKAGES", ["another-library"])
    whole = report.why_not_readme(report.WHOLE)
    assert whole.startswith("not without another-library")
    assert "another-library" not in report.environment(["poll"])["versions"]


def test_the_results_go_between_two_lines_of_the_readme(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8"
    )
    monkeypatch.setattr(report, "README", readme)
    bench = Bench("test", "default")
    bench.target("speed", 3.0, at_most=2)

    report.write_readme([bench], "head", [0.0, 1.0])

    text = readme.read_text(encoding="utf-8")
    assert re.fullmatch(
        rf"before\n{report.BEGIN}\nhead\n.*speed.*MISSED.*\n{report.END}\nafter\n",
        text,
        re.DOTALL,
    )
    assert "old" not in text


@pytest.mark.parametrize(("name", "untouched"), [("a", "whole"), ("survives", "old")])
def test_results_of_whole_alternatives_are_written_apart(
    name: str, untouched: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        f"{report.BEGIN_WHOLE}\nwhole\n{report.END_WHOLE}\n"
        f"between\n{report.BEGIN}\nold\n{report.END}\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(report, "README", readme)
    bench = Bench(name, "default")
    bench.table("T", ["", "µs"], [("one", 1)])

    report.write_readme([bench], "head", [0.0, 1.0])

    text = readme.read_text(encoding="utf-8")
    assert {"whole", "old"} & set(text.splitlines()) == {untouched}
    assert "**T**" in text
    assert "\nbetween\n" in text
    # Long ones are folded.
    assert ("<details>" in text) == (name == "a")


# Whole alternatives


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], False),
        (["--quick"], False),
        (["--full"], True),
        (["survives", "alternatives"], True),
    ],
)
def test_whole_alternatives_take_part_only_where_they_are_asked_for(
    arguments: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    of_command = Run(given_arguments())
    assert (set(report.WHOLE) <= set(of_command.names)) == expected


def test_what_an_alternative_misses_is_named_and_it_is_left_out() -> None:
    bench = Bench("test", "quick")
    able = Contestant("able", standard=False)
    other = Contestant("other", "with_it", needs=("fastapi", "no_such"), standard=False)

    assert contestants.present(bench, [able, other]) == [able]
    assert bench.left_out == [
        "other: no_such not installed; "
        "pip install -r benchmarks/requirements-alternatives.txt"
    ]


@pytest.mark.parametrize("module", MODULES)
def test_an_alternative_is_short_and_takes_part(module: str) -> None:
    # In code tokens; that is some thirty lines.
    assert syntax.code_tokens(ALTERNATIVES / f"{module}.py") <= 280

    taking_part = [
        each
        for each in vars(contestants).values()
        if isinstance(each, Contestant) and each.module == module
    ]
    assert taking_part
    for each in taking_part:
        if each.durable:
            assert any(f"alternatives.{module}" in word for word in each.worker)


def test_each_job_has_a_result_of_its_own() -> None:
    for contestant in (Contestant("ours"), contestants.BACKGROUND):
        first, second = itertools.islice(contestant.jobs(first=7), 2)
        assert (first.result, second.result) == ({"sum": 10}, {"sum": 11})
        assert b"7" in first.body


def http_answer(code: int, **content: object) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 %d .\r\nContent-Length: %d\r\n\r\n%b" % (
        code,
        len(body),
        body,
    )


@contextlib.asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """A server that gives these answers, and then the last for ever."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in itertools.chain(answers, itertools.repeat(answers[-1])):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length
            await reader.readexactly(int(length[1]))
            writer.write(answer)

    async def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task
        tasks.append(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        [listening] = server.sockets
        _, port = listening.getsockname()
        yield port
    await asyncio.gather(*tasks)


ACCEPTED = http_answer(202, task_id="x", status="queued", result=None)
QUEUED = http_answer(200, task_id="x", status="queued", result=None)
JOB = load.Job(0, b"{}", {"sum": 3})


async def one_job(port: int) -> load.Known:
    return await load.do_jobs(port, iter([JOB]), clients=1, seconds=0.0)


async def test_a_job_counts_from_its_submission_to_its_known_result() -> None:
    done = http_answer(200, status="completed", result={"sum": 3})
    async with answering(ACCEPTED, QUEUED, done) as port:
        known = await one_job(port)

    assert known.requests == 3
    [latency] = known.latencies
    assert 0 < known.rate <= 1000 / latency * 1.001


async def test_what_several_clients_ask_is_added_up() -> None:
    done = http_answer(200, status="completed", result={"sum": 3})
    async with answering(ACCEPTED, QUEUED, QUEUED, done) as port:
        known = await load.do_jobs(port, itertools.repeat(JOB), clients=3, seconds=0.0)

    assert len(known.latencies) == 3
    assert known.requests == 12


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([http_answer(429)], "a job was answered"),
        ([ACCEPTED, http_answer(404, title="gone")], "a job was answered"),
        (
            [ACCEPTED, http_answer(200, status="completed", result={"sum": 4})],
            "was answered",
        ),
    ],
)
async def test_a_job_whose_answer_is_wrong_fails_the_check(
    answers: list[bytes], complaint: str
) -> None:
    async with answering(*answers) as port:
        with pytest.raises(CheckFailedError, match=complaint):
            await one_job(port)


@pytest.mark.parametrize("status", ["failed", "aborted", "failure"])
async def test_a_job_that_its_library_gave_up_is_told_apart(status: str) -> None:
    undone = http_answer(200, status=status, result=None)
    async with answering(ACCEPTED, undone) as port:
        with pytest.raises(load.JobUndoneError):
            await one_job(port)


async def test_a_job_that_never_ends_is_waited_for_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load, "PATIENCE", 0.05)
    async with answering(ACCEPTED, QUEUED) as port:
        with pytest.raises(CheckFailedError, match="a job was answered"):
            await one_job(port)


@posix
def test_after_kill_9_the_engine_has_forgotten_all_and_says_how_much_was_done() -> None:
    [table] = quick("survives").tables
    rows = {(row[0], row[1]): row[2:] for row in table.rows}
    before, not_done, unknown, twice, last, _ = rows["taskmanager", "the web process"]

    assert isinstance(before, int)
    assert 4 <= before < 10
    assert not_done == 10 - before
    assert (unknown, twice) == (10, 0)
    assert isinstance(last, float)
    assert math.isnan(last)
    # One call at most is lost with the process that computes it.
    of_process = rows["taskmanager", "a process that computes"]
    assert of_process[2] in (0, 1)


PARENT_AND_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)
time.sleep(60)
"""
# Starts these, says who they are, and waits.
STARTER = f"""
import os, sys, time
from pathlib import Path
from benchmarks.processes import programs
with programs() as together:
    command = [sys.executable, "-c", {PARENT_AND_CHILD!r}]
    program = together.start(command, dict(os.environ), Path.cwd())
    found = program.until_said(r"child (\\d+)")
    print(program.pid, found[1], together.folder, flush=True)
    time.sleep(60)
"""


def gone(pid: int) -> bool:
    """Whether a process ends within seconds."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if zombie(pid):
            return True
        time.sleep(0.01)
    return False


def zombie(pid: int) -> bool:
    """Whether it has ended, and waits for a parent that takes note."""
    with contextlib.suppress(OSError):
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    return False


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_what_a_benchmark_started_ends_with_it_and_so_do_its_children(
    name: str,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        cwd=project_root(),
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        program, child, folder = starter.stdout.readline().split()
        assert Path(folder).is_dir()
        starter.send_signal(getattr(signal, name))

    assert gone(int(program))
    assert gone(int(child))
    for _ in range(500):
        if not Path(folder).exists():
            break
        time.sleep(0.01)
    assert not Path(folder).exists()


@posix
def test_a_killed_program_is_gone_with_its_children_and_another_may_start() -> None:
    command = [sys.executable, "-c", PARENT_AND_CHILD]
    with processes.programs() as together:
        program = together.start(command, dict(os.environ), project_root())
        child = int(program.until_said(r"child (\d+)")[1])
        if sys.platform == "linux":
            assert set(together.pids()) == {program.pid, child}
            assert together.cpu_seconds() > 0
            memory = together.memory()
            assert 0 < memory.pss < memory.rss

        together.kill(program)
        assert gone(child)
        assert together.pids() == []
        again = together.start(command, dict(os.environ), project_root())
        again.until_said("child")
    assert gone(again.pid)


def test_a_program_that_ends_at_once_is_told_with_what_it_said() -> None:
    with processes.programs() as together:
        command = [sys.executable, "-c", "print('no such option')"]
        program = together.start(command, dict(os.environ), project_root())
        with pytest.raises(RuntimeError, match="did not start: no such option"):
            program.until_said("ready")


SERVER = """
from tests.readme import server
with server() as address:
    print('at', address)
"""


def read_to_the_end(terminal: int) -> bytes:
    """What is written to the other side, until that is closed."""
    output = b""
    # An OSError is Linux's way to say that the other side is closed.
    with contextlib.suppress(OSError):
        while True:
            readable, _, _ = select.select([terminal], [], [], 20)
            if not readable:
                break
            part = os.read(terminal, 65536)
            if not part:
                break
            output += part
    return output


@posix
@pytest.mark.parametrize("program", ["-m benchmarks submit --quick", "-c {server}"])
def test_a_terminal_and_the_users_own_settings_change_nothing(program: str) -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    others = {
        "UVICORN_USE_COLORS": "1",
        "UVICORN_HOST": "0.0.0.0",  # noqa: S104
        "UVICORN_LOG_LEVEL": "warning",
        "WEB_CONCURRENCY": "2",
    }
    arguments = [argument.format(server=SERVER) for argument in program.split()]
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=project_root(),
        env=os.environ | others,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        output = read_to_the_end(ours)
        assert process.wait(20) == 0, output
    finally:
        process.kill()
        process.wait()
        os.close(ours)

    text = output.decode()
    assert re.search(r"^at 127\.0\.0\.1:\d+|measured: 1, in ", text, re.MULTILINE)
    assert all(len(line) < 40 for line in re.findall(r"\r\x1b\[K([^\r]*)", text))


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_run_that_is_interrupted_leaves_no_server_and_keeps_what_is_done(
    name: str, tmp_path: Path
) -> None:
    arguments = command("dispatch", "poll", "--quick", "--json")
    with subprocess.Popen(
        [*arguments, str(tmp_path / "found.json")],
        cwd=project_root(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            # Now both servers are running.
            if "over loopback" in line:
                break
        process.send_signal(getattr(signal, name))
        said = process.stderr.read()
        process.wait(20)

    # There is no such group once nobody of its session is left.
    with contextlib.suppress(ProcessLookupError):
        for _ in range(1000):
            os.killpg(process.pid, 0)
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("a server is running")

    if name == "SIGKILL":
        return
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted, with 1 of 2 benchmarks done"
    assert "Traceback" not in said
    found = found_in(tmp_path)
    assert [bench["name"] for bench in found["benchmarks"]] == ["dispatch"]
    assert found["ended"].startswith("interrupted")


@posix
def test_few_open_files_mean_few_connections_and_it_is_said() -> None:
    import resource

    few = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (64, 64))

    done = subprocess.run(
        command("poll", "--quick"),
        cwd=project_root(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=few,
    )

    assert done.returncode == 0, done.stderr
    assert (
        "Left out: 76 of 100 long polls on sockets: the limit of open files"
        in done.stdout
    )


@DRAWS
def test_the_pictures_are_drawn_the_same_each_time_with_ticks_at_what_was_measured(
    tmp_path: Path,
) -> None:
    from benchmarks import plots

    lines = Chart(
        name="lines",
        title="T",
        kind="lines",
        x_label="x",
        y_label="y",
        series={"one": [(1, 0.3), (4, 1.0), (64, 20.0)]},
        log_y=True,
    )
    charts = [lines, *quick("dispatch").charts]

    first = plots.draw(charts, tmp_path / "a")
    second = plots.draw(charts, tmp_path / "b")

    assert [path.read_bytes() for path in first] == [
        path.read_bytes() for path in second
    ]
    assert all(b"<svg" in path.read_bytes() for path in first)
    labels = re.findall(r"<!-- ([\d.]+) -->", first[0].read_text(encoding="utf-8"))
    assert " ".join(labels) == "1 4 64 0.5 1 2 5 10 20"
