"""Constraints and tools: what only the source shows."""

import ast
import builtins
import re
from collections.abc import Callable
from typing import Any

from tests.conformance.api import LeftOpenError, UnmetError, expect
from tests.conformance.requirement import Play, requirement
from tests.conformance.source import Source

DATABASES = {
    "aiosqlite",
    "aioredis",
    "asyncpg",
    "databases",
    "dbm",
    "motor",
    "peewee",
    "psycopg",
    "psycopg2",
    "pymongo",
    "redis",
    "shelve",
    "sqlalchemy",
    "sqlite3",
    "sqlmodel",
    "tinydb",
    "tortoise",
}
QUEUES = {
    "aio_pika",
    "aiokafka",
    "apscheduler",
    "arq",
    "celery",
    "dramatiq",
    "huey",
    "kafka",
    "kombu",
    "pika",
    "rq",
    "taskiq",
}


def tool(
    text: str, learn: str, *, open: bool = False, needs: tuple[str, ...] = ()
) -> Callable[[Play], Play]:
    return requirement("constraints", text, learn, open=open, source=True, needs=needs)


@tool("No database", "README, on limits")
def no_database(source: Source) -> None:
    found = sorted(source.imports() & DATABASES)
    expect(not found, "no database", f"it imports {', '.join(found)}")


@tool("No external task queue", "README, on limits")
def no_external_queue(source: Source) -> None:
    found = sorted(source.imports() & QUEUES)
    expect(not found, "no external task queue", f"it imports {', '.join(found)}")


@tool("FastAPI", "taskmanager/api.py")
def uses_fastapi(source: Source) -> None:
    expect("fastapi" in source.imports(), "FastAPI imported", "it is not")


@tool("An asyncio.Queue, or one of its kind", "taskmanager/pending.py")
def uses_queue(source: Source) -> None:
    expect(
        source.uses("asyncio", "Queue", "PriorityQueue", "LifoQueue"),
        "asyncio.Queue or asyncio.PriorityQueue",
        "neither is used",
    )


@tool("asyncio.create_task starts the background work", "taskmanager/supervisor.py")
def uses_create_task(source: Source) -> None:
    found = re.search(
        r"asyncio\.create_task|(?<![.\w])create_task\(|\btg\.create_task|TaskGroup",
        source.code,
    )
    expect(found, "asyncio.create_task", "it is not used")


@tool("asyncio.gather", "taskmanager/workers.py")
def uses_gather(source: Source) -> None:
    expect(source.uses("asyncio", "gather"), "asyncio.gather", "it is not used")


@tool("An asyncio.Event for each task", "taskmanager/task.py")
def uses_event(source: Source) -> None:
    expect(source.uses("asyncio", "Event"), "asyncio.Event", "it is not used")


@tool(
    "The rate limit keeps timestamps in a collections.deque", "taskmanager/ratelimit.py"
)
def uses_deque(source: Source) -> None:
    expect(source.uses("collections", "deque"), "collections.deque", "it is not used")


@tool("The rate limit is guarded by an asyncio.Lock", "taskmanager/ratelimit.py")
def uses_lock(source: Source) -> None:
    expect(source.uses("asyncio", "Lock"), "asyncio.Lock", "it is not used")
    used = [
        item.context_expr
        for node in source.nodes(ast.AsyncWith)
        for item in getattr(node, "items", [])
    ]
    anew = [
        ast.unparse(made)
        for made in used
        if isinstance(made, ast.Call) and ast.unparse(made.func).endswith("Lock")
    ]
    expect(
        not anew,
        "one lock that all share",
        f"`async with {', '.join(anew)}` makes a new one each time",
    )


@tool(
    "Work is simulated with asyncio.sleep",
    "taskmanager/task_types.py",
    needs=("nothing_blocks",),
)
def uses_sleep(source: Source) -> None:
    awaited = [
        node
        for node in source.nodes(ast.Await)
        if isinstance(node, ast.Await) and "sleep" in ast.unparse(node.value)
    ]
    expect(awaited, "await asyncio.sleep(...)", "there is none")

    by_name = {
        alias.asname or alias.name
        for node in source.nodes(ast.ImportFrom)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name == "sleep"
    }
    called = {
        ast.unparse(node): ast.unparse(node.func)
        for node in source.nodes(ast.Call)
        if isinstance(node, ast.Call)
    }
    blocking = [
        call
        for call, function in called.items()
        if function == "time.sleep" or function in by_name
    ]
    expect(
        not blocking,
        "no time.sleep, which blocks all",
        f"there is {', '.join(blocking)}",
    )


@tool("match chooses by task type", "taskmanager/task_types.py")
def uses_match(source: Source) -> None:
    expect(source.nodes(ast.Match), "a match statement", "there is none")


@tool("Errors are classified with match", "taskmanager/errors.py", open=True)
def classifies_with_match(source: Source) -> None:
    own = exceptions_of(source)
    subjects = []
    named = set[str]()
    for node in source.nodes(ast.Match):
        if isinstance(node, ast.Match):
            subjects.append(ast.unparse(node.subject))
            for case in node.cases:
                named |= set(re.findall(r"\w+", ast.unparse(case.pattern)))

    by_class = any(is_exception(name, own) for name in named)
    by_subject = any(
        re.search(r"\b(e|ex|exc|err|error|exception)\b", text) for text in subjects
    )
    expect(
        by_class or by_subject,
        "a match over exceptions",
        "there is no match on one, and none with one in a case",
    )


@tool("asyncio.CancelledError is dealt with", "taskmanager/workers.py")
def handles_cancelled_error(source: Source) -> None:
    expect(
        source.uses("asyncio", "CancelledError"),
        "asyncio.CancelledError",
        "it is not mentioned",
    )


@tool("The list is an async generator", "taskmanager/listing.py")
def uses_async_generator(source: Source) -> None:
    found = [
        node
        for node in source.nodes(ast.AsyncFunctionDef)
        if any(isinstance(inner, ast.Yield) for inner in ast.walk(node))
        and "asynccontextmanager" not in ast.unparse(node)[:200]
    ]
    expect(
        found and "StreamingResponse" in source.code,
        "an async generator in a StreamingResponse",
        "there is none",
    )


@tool("Custom exceptions", "taskmanager/errors.py")
def has_custom_exceptions(source: Source) -> None:
    expect(exceptions_of(source), "a class of exceptions", "there is none")


def exceptions_of(source: Source) -> set[str]:
    """The names of the solution's own exceptions."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for node in source.nodes(ast.ClassDef)
        if isinstance(node, ast.ClassDef)
    }

    # A class may stand on another that is found only later.
    own: set[str] = set()
    known = -1
    while known < len(own):
        known = len(own)
        for name, above in bases.items():
            if any(is_exception(base, own) for base in above):
                own.add(name)
    return own


def is_exception(name: str, own: set[str]) -> bool:
    builtin = getattr(builtins, name, None)
    known = isinstance(builtin, type) and issubclass(builtin, BaseException)
    return known or name in own or name.endswith(("Error", "Exception"))


@tool("Type hints on every function", "taskmanager/")
def has_type_hints(source: Source) -> None:
    functions: list[Any] = source.nodes(ast.FunctionDef, ast.AsyncFunctionDef)
    bare = [function.name for function in functions if not is_hinted(function)]
    expect(
        len(bare) <= len(functions) // 10,
        "type hints on nine of ten functions",
        f"{len(bare)} of {len(functions)} lack one for an argument or the result: "
        f"{', '.join(bare[:5])}",
    )


def is_hinted(function: Any) -> bool:
    """Whether arguments and result have type hints."""
    arguments = [
        *function.args.posonlyargs,
        *function.args.args,
        *function.args.kwonlyargs,
    ]
    for each in arguments:
        if each.annotation is None and each.arg not in ("self", "cls"):
            return False
    return function.returns is not None or function.name == "__init__"


@tool("Logging with the logging module", "taskmanager/manager.py")
def uses_logging(source: Source) -> None:
    expect("logging" in source.imports(), "logging imported", "it is not")


# PEP 8: 79 columns; a team may agree on up to 99, provided that
# comments and docstrings are wrapped at 72.
COLUMNS = 79
AGREED_COLUMNS = 99
PROSE_COLUMNS = 72


@tool(
    "PEP 8: lines of at most 79 characters, up to 99 where a team agrees",
    "pyproject.toml",
)
def lines_are_short(source: Source) -> None:
    lines = source.lines()
    too_long = [line.place for line in lines if line.length > AGREED_COLUMNS]
    expect(
        not too_long,
        f"lines of at most {COLUMNS} characters, and none over {AGREED_COLUMNS}",
        f"{len(too_long)} have over {AGREED_COLUMNS}: {', '.join(too_long[:5])}",
    )

    long = [line.place for line in lines if line.length > COLUMNS]
    if not long:
        return

    happened = (
        f"{len(long)} have {COLUMNS + 1} to {AGREED_COLUMNS}: {', '.join(long[:5])}"
    )
    prose = [
        line.place for line in lines if line.is_prose and line.length > PROSE_COLUMNS
    ]
    if prose:
        happened += (
            f"; of comments and docstrings, {len(prose)} have over {PROSE_COLUMNS}: "
            f"{', '.join(prose[:5])}"
        )
    raise LeftOpenError(
        f"lines of at most {COLUMNS} characters; a team may agree on up to "
        f"{AGREED_COLUMNS}, with comments and docstrings of at most {PROSE_COLUMNS}",
        happened,
    )


@tool("A README with setup and assumptions", "README.md")
def has_readme(source: Source) -> None:
    paths = [path for folder in source.project for path in folder.glob("*")]
    found = [path for path in paths if path.name.lower().startswith("readme")]
    expect(found, "a README", f"there is none in {source.folder.name}/")

    text = found[0].read_text(encoding="utf-8", errors="replace").lower()
    expect(
        "install" in text or "uvicorn" in text,
        "how to install and run it",
        "the README does not say",
    )
    expect(
        "assum" in text or "decision" in text or "design" in text,
        "its assumptions explained",
        "the README does not",
    )


@tool(
    "Asynchronous tests that mock time", "tests/, notebook 09-cleanup-and-frozen-time"
)
def has_tests(source: Source) -> None:
    paths = [path for folder in source.project for path in folder.rglob("*.py")]
    tests = [
        path
        for path in paths
        if path.name.startswith("test") or path.stem.endswith("_test")
    ]
    installed = {".venv", "venv", "site-packages"}
    files = [path for path in tests if not installed & set(path.parts)]
    if not files:
        raise UnmetError("tests", f"there are no test files in {source.folder.name}/")

    text = "\n".join(
        path.read_text(encoding="utf-8", errors="replace") for path in files
    )
    count = text.count("def test")
    expect(
        "async def test" in text or "asyncio" in text,
        "asynchronous tests",
        f"{count} tests, none of them asynchronous",
    )

    ways = (
        "freez",
        "time_machine",
        "time-machine",
        "monkeypatch",
        "mock",
        "patch",
    )
    expect(
        any(way in text for way in ways),
        "time that is mocked",
        "nothing in the tests mocks it",
    )
