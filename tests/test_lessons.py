"""What the lessons of the notebooks promise to whoever reads them.

A construct is explained before it is used, the minutes of a lesson are
measured, and their page tells of them what they say themselves. No
notebook is executed here.
"""

import functools
import importlib
import re
from dataclasses import dataclass

import nbformat
import pytest

from notebooks import checks, graph, minutes, refresh

# They come before the others, whose order is the reader's.
FIRST = ["00-tour", "01-event-loop", "02-task-lifecycle"]


@dataclass(frozen=True)
class Construct:
    """What a reader of functions, classes and dicts need not know.

    ``used`` finds it in a cell. ``explained`` is, for each lesson that
    explains it, a piece of the text that does.
    """

    used: str
    explained: dict[str, str]


CONSTRUCTS = [
    # Python's
    Construct(r"(?m)^@\w", {"00-tour": "a **decorator**"}),
    Construct(r"-> \w", {"00-tour": "*type hints*"}),
    Construct(r"\byield\b", {"01-event-loop": "**generator**: what calling"}),
    Construct(r"next\(", {"01-event-loop": "lets a generator run to its next"}),
    Construct(r"\(\*[a-z]\w", {"01-event-loop": "(`*generators` takes"}),
    Construct(r"\(\*_\)", {"02-task-lifecycle": "its `*_` takes any"}),
    Construct(r"\bdeque\b", {"01-event-loop": "**deque**: a queue"}),
    Construct(r"\bheap(pop|push)?\b", {"01-event-loop": "**heap**: a list"}),
    Construct(r"SimpleNamespace", {"01-event-loop": "an object with one attribute"}),
    Construct(r"\blambda\b", {"01-event-loop": "A `lambda` is a function"}),
    Construct(r"(?m)^\s*with .*:$", {"01-event-loop": "| `with`, `async with` |"}),
    Construct(r"\bnonlocal\b", {"02-task-lifecycle": "(`nonlocal turns` says"}),
    Construct(
        r"\*\*\w+\)|[(,] ?\*\*\w+,", {"02-task-lifecycle": "`**options` the entries"}
    ),
    Construct(r"mock\.patch", {"02-task-lifecycle": "(`mock.patch.object` replaces"}),
    Construct(r"defaultdict\(", {"02-task-lifecycle": "`defaultdict` is a dict"}),
    Construct(r"Counter\(", {"02-task-lifecycle": "`Counter` one that counts"}),
    Construct(
        r"namedtuple\(",
        {
            "03-queue-and-workers": "`namedtuple` is a tuple",
            "04-backpressure-and-priorities": "`namedtuple` is a tuple",
            "10-streaming": "a `namedtuple`, a tuple whose",
        },
    ),
    Construct(
        r"contextlib\.suppress",
        {"07-they-all-come-back": "(`contextlib.suppress` makes"},
    ),
    Construct(
        r"(?m)^\s*(match|case) ", {"08-cancellation-and-failure": "a **`match`** over"}
    ),
    Construct(
        r"except\*", {"08-cancellation-and-failure": "catches the `ValueError`s"}
    ),
    Construct(
        r"ThreadPoolExecutor",
        {
            "14-outgrowing-one-process": "A `ThreadPoolExecutor` is an executor",
        },
    ),
    Construct(r"partial\(", {"11-load": "(`partial(f, x)` is `f`"}),
    Construct(r", /[,)]", {"14-outgrowing-one-process": "given by its place"}),
    Construct(
        r"pairwise\(",
        {
            "14-outgrowing-one-process": "`pairwise` gives each",
            "15-outgrowing-one-machine": "`pairwise` gives each",
        },
    ),
    # asyncio's
    Construct(r"async def|coroutine", {"00-tour": "**coroutine**: what calling"}),
    Construct(r"\bawait\b", {"00-tour": "At an `await` it may have to wait"}),
    Construct(r"wait_for\(", {"00-tour": "which waits for 10 s at most"}),
    Construct(r"event loop", {"01-event-loop": "**event loop**: the code"}),
    Construct(r"create_task\(", {"01-event-loop": "That is a **Task**: a coroutine"}),
    Construct(r"sleep\(0\)", {"01-event-loop": "That is why asyncio has `sleep(0)`"}),
    Construct(r"CancelledError", {"01-event-loop": "The error that asyncio throws is"}),
    Construct(r"\.cancel\(\)", {"01-event-loop": "**to cancel**: to end a coroutine"}),
    Construct(
        r"\bFutures?\b",
        {
            "01-event-loop": "yield a *Future*: an end",
            "14-outgrowing-one-process": "is a **Future**, an end",
        },
    ),
    Construct(r"\bgather\(", {"01-event-loop": "| `asyncio.gather(a(), b())` |"}),
    Construct(r"asyncio\.wait\(", {"01-event-loop": "| `asyncio.wait(tasks"}),
    Construct(r"\.(done|cancelled)\(\)", {"01-event-loop": "| `task.done()`, `task"}),
    Construct(r"asyncio\.Event", {"01-event-loop": "| `asyncio.Event` |"}),
    Construct(r"asyncio\.Queue\b", {"01-event-loop": "| `asyncio.Queue` |"}),
    Construct(r"asyncio\.Lock", {"01-event-loop": "| `asyncio.Lock` |"}),
    Construct(r"async with", {"01-event-loop": "| `with`, `async with` |"}),
    Construct(r"async for", {"01-event-loop": "| `async for` |"}),
    Construct(r"QueueFull\b", {"04-backpressure-and-priorities": "raises `QueueFull`"}),
    Construct(r"TaskGroup", {"08-cancellation-and-failure": "as `asyncio.TaskGroup`"}),
    Construct(
        r"asyncio\.(shield|timeout)\(|uncancel",
        {"08-cancellation-and-failure": "is `wait_for` as a block"},
    ),
    Construct(
        r"async generator|AsyncIterator|anext\(",
        {"10-streaming": "**async generator**: what an"},
    ),
    Construct(r"asyncio\.Condition", {"05-polling": "it compares under a lock"}),
    Construct(
        r"call_soon|run_forever", {"09-cleanup-and-frozen-time": "`call_soon` puts"}
    ),
    Construct(
        r"run_in_executor",
        {
            "14-outgrowing-one-process": "(`run_in_executor` hands a function",
            "15-outgrowing-one-machine": "(`run_in_executor` hands a function",
        },
    ),
    # The web's
    Construct(r"\bASGI", {"00-tour": "**ASGI**: the form"}),
    Construct(r"scope_of|receive_from|\breceive,", {"11-load": "**`scope`**, a dict"}),
    Construct(
        r"\bmiddleware\b(?!`|\.py)",
        {
            "06-rate-limiting": "**middleware** stands between",
            "11-load": "the chain of **middleware**",
        },
    ),
    Construct(r"lifespan", {"12-shutdown-and-faults": "**lifespan**: what an"}),
    Construct(
        r"asynccontextmanager",
        {"12-shutdown-and-faults": "from which `asynccontextmanager` makes"},
    ),
    Construct(
        r"\b[Pp]roxy\b",
        {
            "00-tour": "a **proxy**, a server that passes",
            "05-polling": "**proxy**: a server between",
        },
    ),
    Construct(r"\b429\b", {"00-tour": "refused with a **429**"}),
    Construct(
        r"\b503\b",
        {
            "04-backpressure-and-priorities": "**503**, *service unavailable*",
            "12-shutdown-and-faults": "503 stands for",
            "13-watching-it": "refused with a **503**",
            "16-the-incident": "**503**, *service unavailable*",
        },
    ),
    Construct(r"\b202\b", {"00-tour": "**202 Accepted** says"}),
    Construct(r"Retry-After", {"00-tour": "`Retry-After` how many seconds"}),
    Construct(
        r"Idempotency-Key",
        {
            "07-they-all-come-back": "called **`Idempotency-Key`**",
            "15-outgrowing-one-machine": "(An **`Idempotency-Key`** is",
        },
    ),
    Construct(
        r"loopback",
        {
            "11-load": "on loopback (this machine",
            "12-shutdown-and-faults": "**loopback** (this machine",
            "15-outgrowing-one-machine": "over loopback, the network inside",
        },
    ),
    Construct(
        r"Little's law",
        {
            "03-queue-and-workers": "says **L = λ·W**",
            "04-backpressure-and-priorities": "(**Little's law**, of",
            "09-cleanup-and-frozen-time": "(Little's law: what is inside",
            "11-load": "**Little's law**: requests under way",
            "15-outgrowing-one-machine": "under way = arrivals a second",
        },
    ),
    Construct(
        r"jitter",
        {
            "04-backpressure-and-priorities": "(**jitter**: a random",
            "07-they-all-come-back": "**Jitter**: a random part",
            "16-the-incident": "**jitter**: a random part",
        },
    ),
    Construct(
        r"\bp(50|99)\b",
        {
            "11-load": "**percentile**: a *p99*",
            "13-watching-it": "**percentile**: a *p99*",
            "16-the-incident": "**percentile**: a *p99*",
        },
    ),
    Construct(r"\bGIL\b", {"14-outgrowing-one-process": "**GIL**: the lock"}),
]


@functools.cache
def sources(lesson: str) -> list[str]:
    """The text of each of its cells, without that of the imports.

    They stand at the top, and say nothing yet.
    """
    texts = [cell.source for cell in refresh.read(lesson).cells]
    return [re.sub(r"(?m)^(from|import) .*", "", text) for text in texts]


def explained_at(construct: Construct, lesson: str) -> int | None:
    """The cell of this lesson that explains it first, if one does."""
    words = construct.explained.get(lesson)
    if words is None:
        return None
    for position, text in enumerate(sources(lesson)):
        if words in " ".join(text.split()):
            return position
    raise AssertionError(f"{lesson} does not say: {words!r}")


def used_at(construct: Construct, lesson: str) -> int | None:
    for position, text in enumerate(sources(lesson)):
        if re.search(construct.used, text):
            return position
    return None


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda each: each.used)
def test_it_is_explained_before_it_is_used(construct: Construct) -> None:
    lessons = refresh.names()
    uses = {lesson: used_at(construct, lesson) for lesson in lessons}
    assert any(position is not None for position in uses.values())

    explained = {lesson: explained_at(construct, lesson) for lesson in lessons}
    for lesson, used in uses.items():
        if used is None:
            continue
        before = [first for first in FIRST if first < lesson]
        if any(explained[first] is not None for first in before):
            continue
        here = explained[lesson]
        assert here is not None, (
            f"{lesson} uses it in cell {used}, and explains it nowhere"
        )
        assert here <= used, (
            f"{lesson} uses it in cell {used}, and explains it in {here}"
        )


@pytest.mark.parametrize("lesson", refresh.names())
def test_nobody_is_called_who_but_in_a_question(lesson: str) -> None:
    """Not "who waits lets go", but "a thread that waits lets go"."""
    for text in sources(lesson):
        words = " ".join(text.split())
        assert not re.search(r"(?:^|[.:;] )[Ww]ho\b[^.?:;]*[.;]", words)


def test_the_minutes_are_those_that_are_counted() -> None:
    page = (refresh.FOLDER / "README.md").read_text(encoding="utf-8")
    assert minutes.with_minutes(page) == page

    wished = re.sub(r"(\? \|) \d+ \|", r"\1 1 |", page)
    assert wished != page
    assert minutes.with_minutes(wished) == page


def test_how_minutes_are_counted() -> None:
    prose = "word " * 900 + "[a page](https://example.org/not/counted)"
    question = "**Predict:** what comes?"
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell(prose),
        nbformat.v4.new_markdown_cell(question),
        nbformat.v4.new_code_cell("line\n\n" * 80),
        nbformat.v4.new_code_cell("answer = 1\ncheck.answer(answer)"),
    ]
    # Six of words, four of code, half a one to predict, and five.
    assert minutes.minutes_of(notebook) == 15


def overview() -> str:
    return (refresh.FOLDER / "README.md").read_text(encoding="utf-8")


def lesson_of(number: str) -> str:
    (name,) = (name for name in refresh.names() if name.startswith(f"{number}-"))
    return name


def test_the_graph_is_what_the_lessons_say() -> None:
    page = overview()
    assert graph.with_graph(page) == page

    without = page.replace("  n01 --> n02\n", "")
    assert without != page
    assert graph.with_graph(without) == page


def test_a_lesson_builds_on_earlier_ones_and_on_the_first_three() -> None:
    builds_on = graph.builds_on()
    assert list(builds_on) == refresh.names()

    before: dict[str, set[str]] = {}
    for name, earlier in builds_on.items():
        assert all(each < name for each in earlier)
        before[name] = set(earlier).union(*(before[each] for each in earlier))
        first = {each for each in FIRST if each < name}
        assert first <= before[name], name


def test_a_path_of_ninety_minutes_takes_no_longer() -> None:
    paths = re.findall(
        r"(?m)^- \*\*Ninety minutes\*\*((?:.*\n)(?:  .*\n)*)", overview()
    )
    assert len(paths) == 2
    for path in paths:
        whole, _, without = path.rpartition("then")
        assert "without" in without
        total = 0.0
        for name in re.findall(r"\]\(([\w-]+)\.ipynb\)", whole):
            total += minutes.minutes_of(refresh.read(name))

        rest = re.findall(r"\]\(([\w-]+)\.ipynb\)", without)
        assert rest
        for name in rest:
            notebook = refresh.read(name)
            asked = sum("\ncheck." in cell.source for cell in notebook.cells)
            total += minutes.minutes_of(notebook) - asked * minutes.AN_EXERCISE
        assert 75 <= total <= 90


def test_six_weeks_have_every_lesson_once_and_after_what_it_builds_on() -> None:
    weeks = re.findall(r"(?m)^\| (\d) \| ([\d, ]+) \|", overview())
    assert [week for week, _ in weeks] == ["1", "2", "3", "4", "5", "6"]

    order = []
    for _, numbers in weeks:
        lessons = [lesson_of(number) for number in numbers.split(", ")]
        order += lessons
        total = sum(minutes.minutes_of(refresh.read(each)) for each in lessons)
        assert 60 <= total <= 150, lessons
    assert sorted(order) == refresh.names()
    for name, earlier in graph.builds_on().items():
        assert all(order.index(each) < order.index(name) for each in earlier)


def test_the_old_numbers_lead_to_lessons() -> None:
    old, new = re.findall(r"(?m)^\| (?:old|new) \| (.*) \|$", overview())
    assert old.split(" | ") == ["07", "08", "09", "10", "11", "12", "13"]
    for numbers in new.split(" | "):
        for number in numbers.split(", "):
            assert lesson_of(number)


# A lesson, an exercise, an answer and what its check says of it.
BELIEFS = re.findall(
    r"(?m)^\| \[(\d\d)\]\(\.\./tests/notebook_answers/(\w+)\.py\) \|"
    r" [^|]+ \| `(\w+)`: `([^`]+)` \| ([^|]+) \|$",
    overview(),
)


def test_each_lesson_has_a_known_misconception() -> None:
    lessons = {lesson_of(number) for number, *_ in BELIEFS}
    assert sorted(lessons) == refresh.names()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "module", "exercise", "shown", "said"),
    BELIEFS,
    ids=lambda each: each if each.isidentifier() else "",
)
def test_a_misconception_gets_the_complaint_that_the_page_quotes(
    number: str, module: str, exercise: str, shown: str, said: str
) -> None:
    importlib.import_module(f"notebooks.checks.{module}")
    text = "\n".join(sources(lesson_of(number)))
    assert f"check.{exercise}(" in text

    wrong = importlib.import_module(f"tests.notebook_answers.{module}").WRONG
    (answer,) = (
        answer
        for answer, _ in wrong[exercise]
        if shown in (getattr(answer, "__name__", None), repr(answer))
    )
    complaint = checks.CHECKS[f"{module}.{exercise}"](answer)
    assert complaint is not None
    assert said in complaint
