"""Preflight: whether it starts, and how it calls things.

It hands in tasks, and finds out what routes, fields and states are
called.

Rule: what would fail every requirement in the same way is said once,
before any is played.
"""

import contextlib
import dataclasses
import json
import re
from typing import Any
from urllib.parse import urlsplit

from tests.conformance.api import (
    CANCELLATION,
    FAILURE,
    Answer,
    Api,
    UnmetError,
    expect,
    hint,
    holds,
)
from tests.conformance.bodies import as_toml, bodies, invalid, listed_in
from tests.conformance.requirement import Requirement

ADVICE = "name your tasks in a TOML file, see tests/conformance/README.md"
STATES = ["queued", "processing", "completed"]
# What a state is called, where there were not three to be seen.
MEANINGS = {
    "queued": "queue|enqueue|pend|wait|new$|creat|submit|accept|schedul|receiv",
    "processing": "process|run|in_?progress|start|active|work|execut",
    "completed": "complet|done|finish|success|succeed|end",
    "failed": FAILURE.pattern,
    "cancelled": CANCELLATION.pattern,
}
# What a field is called that shows how a task has ended.
RESULT = re.compile(
    "result|outp|outcome|return|answer|response|value|data", re.IGNORECASE
)
ERROR = re.compile(
    "err|fail|reason|problem|exception|message|detail|cause", re.IGNORECASE
)
MOMENT = re.compile("_(at|on|time|date)$|[a-z]At$")
REFUSED = (400, 422)
ELSEWHERE = (404, 405)
REDIRECTED = (307, 308)
# What else these task types may be called.
TYPES = {
    "quick": "sum",
    "slow": "report",
    "failing": "fail|err|crash",
}


async def look(api: Api) -> dict[str, Any]:
    """Hand in the quick task and follow it to its end.

    Returns what is not called as the Solution says.
    """
    given = api.solution
    answer = await _hand_in(api, "quick")
    if answer.status in REDIRECTED + ELSEWHERE:
        await _find_routes(api, answer)
        answer = await _hand_in(api, "quick")

    others: list[Any] = []
    if answer.status in REFUSED and api.solution.is_default("quick"):
        answer, others = await _find_tasks(api, answer)
    expect(
        answer.status < 300,
        f"the task {api.solution.quick} to be accepted ({ADVICE})",
        str(answer),
    )

    _adopt_field(api, "task_id", answer, "id$")
    seen = await _completed(api, answer)
    await _name_states(api, seen)

    await _choose(api, others)
    slow = await _find_slow(api)
    # The quick one may have been too quick.
    if slow and len(seen) < 3:
        seen = slow
        await _name_states(api, seen)

    await _find_cancelled(api, seen)
    await _find_failed(api, seen)
    await _find_fields(api)
    if api.solution.is_default("invalid") and not api.solution.is_default("quick"):
        _adopt(api, invalid=invalid(api.solution.quick))
    if (await api.post(api.solution.invalid[-1])).accepted:
        await _doubt_the_result(api)
        await _doubt_the_failure(api)

    found = dataclasses.asdict(api.solution)
    return {
        name: value for name, value in found.items() if value != getattr(given, name)
    }


async def _completed(api: Api, answer: Answer) -> list[str]:
    """The states of the quick task, once it was completed.

    It may fail by chance, and is handed in again then; or always, and
    another body is looked for. Raises UnmetError.
    """
    seen = await _states_of(api, answer)
    seen = await _seen_until_completed(api, api.solution.quick, seen)
    if not seen or not api.failed(seen[-1]):
        return seen

    error = await _error_of(api, api.solution.quick)
    failed = api.solution.quick
    if api.solution.is_default("quick"):
        for body in bodies(await api.openapi(), api.solution.path):
            answer = await api.post(body)
            seen = await _states_of(api, answer) if answer.accepted else []
            seen = await _seen_until_completed(api, body, seen)
            if seen and not api.failed(seen[-1]):
                _adopt(api, quick=body, result=None)
                return seen

    raise UnmetError(
        f"the task {failed} to be completed ({ADVICE})",
        f"it is accepted and fails each time, with {error}",
    )


async def _seen_until_completed(api: Api, body: Any, seen: list[str]) -> list[str]:
    """The states of the first of eight tasks that does not fail."""
    for _ in range(7):
        if not seen or not api.failed(seen[-1]):
            return seen
        _adopt_state(api, "failed", seen[-1])
        seen = await _states_of(api, await api.post(body))
    return seen


async def _error_of(api: Api, body: Any) -> str:
    """What such a task shows as its error, once it has failed."""
    task_id = api.id_of(await api.post(body))
    with contextlib.suppress(UnmetError):
        await api.until_over(task_id, within=120)
    task = await api.get(task_id)
    name = api.solution.error
    if name in task:
        return f"the {name} {task[name]!r:.200}"
    return f"no field {name!r}: it shows {task!r:.200}"


async def _find_slow(api: Api) -> list[str]:
    """The states of the slow task; without one, the quick one is taken.

    That costs the lines for which it is too short, and no others.
    """
    answer = await _hand_in(api, "slow")
    if not answer.accepted:
        # If it was not refused, that is another line's business.
        if answer.status in REFUSED:
            _adopt(api, slow=api.solution.quick, no_slow=str(answer))
        return []

    seen = await _states_of(api, answer)
    seen = await _seen_until_completed(api, api.solution.slow, seen)
    if seen and api.failed(seen[-1]):
        error = await _error_of(api, api.solution.slow)
        why = f"{api.solution.slow} fails each time, with {error}"
        _adopt(api, slow=api.solution.quick, no_slow=why)
        return []
    return seen


# What is adopted


def _adopt(api: Api, **names: Any) -> None:
    api.solution = dataclasses.replace(api.solution, **names)


def _adopt_state(api: Api, name: str, state: str) -> None:
    """Where the TOML file does not say what it is called."""
    if api.solution.is_default(name):
        _adopt(api, **{name: state})


def _adopt_field(api: Api, key: str, answer: Answer, like: str) -> None:
    """Where it is called otherwise, and only one field can be meant."""
    body = answer.json()
    objects = [body]
    if isinstance(body, dict):
        objects += body.values()
    fields = {field for each in objects if isinstance(each, dict) for field in each}

    name = getattr(api.solution, key)
    alike = [field for field in fields if re.search(like, field.lower())]
    if name not in fields and api.solution.is_default(key) and len(alike) == 1:
        _adopt(api, **{key: alike[0]})
    expect(
        getattr(api.solution, key) in fields,
        f"a field {name!r} {hint(key)}",
        str(answer),
    )


async def _find_fields(api: Api) -> None:
    """Adopt other names of the result and of the error.

    Each is told by what it shows at the end of a task, and had not
    shown before.
    """
    solution = api.solution
    # That it can be read, and ends, are other lines' business.
    with contextlib.suppress(UnmetError):
        shown = await _shown_at(api, solution.quick, solution.completed)
        _adopt_end(api, "result_field", shown, RESULT)
    if solution.failing is not None:
        with contextlib.suppress(UnmetError):
            shown = await _shown_at(api, solution.failing, solution.failed)
            _adopt_end(api, "error", shown, ERROR)


async def _shown_at(api: Api, body: Any, end: str) -> dict[str, Any]:
    """What such a task shows once it has ended so.

    Of each field, the value at the end, or None where it was the same
    at the beginning. Empty where none of eight ends so.
    """
    for _ in range(8):
        task_id = api.id_of(await api.post(body))
        before = await api.get(task_id)
        await api.until_over(task_id, within=120)
        after = await api.get(task_id)
        if after.get(api.solution.status) == end:
            return {
                name: None if before.get(name) == value else value
                for name, value in after.items()
            }
    return {}


def _adopt_end(
    api: Api, key: str, shown: dict[str, Any], like: "re.Pattern[str]"
) -> None:
    """Where no field is called so, and only one other can be meant."""
    if not api.solution.is_default(key) or getattr(api.solution, key) in shown:
        return
    alike = [
        name
        for name, value in shown.items()
        if like.search(name) and not MOMENT.search(name) and value
    ]
    if len(alike) == 1:
        _adopt(api, **{key: alike[0]})


# Routes and tasks


async def _find_routes(api: Api, answer: Answer) -> None:
    """Adopt where the routes are.

    The quick task was answered as at a path that is none of theirs.
    """
    if answer.status in REDIRECTED:
        location = urlsplit(answer.headers.get("location", ""))
        _adopt(api, path=location.path)
        return

    path = api.solution.path
    paths = (await api.openapi()).get("paths", {})
    posts = [each for each, methods in paths.items() if "post" in methods]
    elsewhere = [
        each for each in posts if each.rstrip("/").endswith("/tasks") and each != path
    ]
    if not elsewhere:
        # A path at which tasks are handed in, and below which one is
        # read.
        reads = {
            each.rpartition("/{")[0]
            for each, methods in paths.items()
            if "get" in methods and each.endswith("}")
        }
        elsewhere = [each for each in posts if each.rstrip("/") in reads]

    others = ", ".join(f"POST {each}" for each in posts) or "no other"
    expect(
        len(elsewhere) == 1,
        f"a route POST {path} {hint('path')}",
        f"it was answered {answer.status}; there is {others} in /openapi.json",
    )
    _adopt(api, path=elsewhere[0])


async def _find_tasks(api: Api, refusal: Answer) -> tuple[Answer, list[Any]]:
    """Adopt a body that the OpenAPI document describes.

    Returns how the last one was answered, and it and others that may
    be.
    """
    possible = bodies(await api.openapi(), api.solution.path)
    for index, body in enumerate(possible):
        answer = await api.post(body)
        if answer.accepted:
            _adopt(api, quick=body, result=None)
            if api.solution.is_default("slow"):
                _adopt(api, slow=body)
            return answer, possible[index:]

        made = f" with {as_toml(body)}, made from /openapi.json,"
        refusal = dataclasses.replace(answer, asked=answer.asked + made)

    return refusal, []


async def _hand_in(api: Api, key: str) -> Answer:
    """Submit this task.

    Where its default type is refused, it is one of the OpenAPI document
    that sounds alike. Returns the last answer, which names its body.
    """
    body = getattr(api.solution, key)
    refusal = await _answer_to(api, body)
    if refusal.status not in REFUSED or not api.solution.is_default(key):
        return refusal

    words = {word for words in listed_in(await api.openapi()) for word in words}
    for word in sorted(words):
        if not re.search(TYPES[key], word, re.IGNORECASE):
            continue

        other = {**body, "task_type": word}
        refusal = await _answer_to(api, other)
        if refusal.accepted:
            _adopt(api, **{key: other})
            if key == "quick" and api.solution.is_default("bad_parameters"):
                bad = [
                    {**each, "task_type": word} for each in api.solution.bad_parameters
                ]
                _adopt(api, bad_parameters=bad)
            return refusal

    return refusal


async def _answer_to(api: Api, body: Any) -> Answer:
    """The answer to a submission; a refusal names the body."""
    answer = await api.post(body)
    _is_within_the_limit(answer)
    if answer.status not in REFUSED:
        return answer
    return dataclasses.replace(answer, asked=f"{answer.asked} with {as_toml(body)}")


def _is_within_the_limit(answer: Answer) -> None:
    """Raises UnmetError where a new address is over the limit."""
    expect(
        answer.status != 429,
        "each client address to have a limit of its own",
        f"{answer}, though no request had come from this address before",
    )


async def _choose(api: Api, possible: list[Any]) -> None:
    """Choose among several bodies.

    The quickest becomes the quick task, the longest the slow one, and
    one that fails the failing one.
    """
    if len(possible) < 2:
        return

    took: dict[str, float] = {}
    for body in possible:
        answer = await api.post(body)
        begun = api.now()
        if not answer.accepted:
            continue

        seen = await _states_of(api, answer)
        end = seen[-1] if seen else ""
        # What completed tasks are called is known by now.
        if _is_odd(api, end):
            _adopt_state(api, "failed", end)
        if end == api.solution.completed:
            took[json.dumps(body)] = api.now() - begun
        elif (
            api.failed(end)
            and api.solution.is_default("failing")
            and await _always_fails(api, body)
        ):
            _adopt(api, failing=body)
            _adopt_state(api, "failed", seen[-1])

    if took:
        ordered = sorted(took, key=lambda body: took[body])
        _adopt(api, quick=json.loads(ordered[0]), slow=json.loads(ordered[-1]))


async def _always_fails(api: Api, body: Any) -> bool:
    """Whether it does so five times more: others fail by chance."""
    for _ in range(5):
        answer = await api.post(body)
        if not answer.accepted:
            return False

        seen = await _states_of(api, answer)
        if not seen or not api.failed(seen[-1]):
            return False

    return True


# States


def _status_in(api: Api, answer: Answer) -> Any:
    try:
        task = api.unwrapped(answer.json(), api.solution.status)
    except UnmetError:
        # It is no JSON, which is another line's business.
        return None
    return task.get(api.solution.status) if isinstance(task, dict) else None


async def _states_of(api: Api, submitted: Answer) -> list[str]:
    """The states of a task within two minutes of its submission."""
    task_id = api.id_of(submitted)
    begun = api.now()
    seen: list[str] = []

    while api.now() - begun < 120:
        answer = await api.request("GET", f"/tasks/{task_id}")
        _is_within_the_limit(answer)
        if answer.status in ELSEWHERE:
            await _no_such_route(api, answer)
        if answer.status != 200 or not isinstance(answer.json(), dict):
            break

        _adopt_field(api, "status", answer, "^(task_?)?(status|state)$")
        status: Any = None
        for told in (submitted, answer):
            status = _status_in(api, told)
            if isinstance(status, str) and status not in seen:
                seen.append(status)
        if api.done(status):
            break

        await api.pause(begun)
    else:
        if _is_odd(api, status) and _shows_an_error(api, answer):
            _adopt_state(api, "failed", status)

    return seen


def _is_odd(api: Api, state: Any) -> bool:
    """Whether it is a word that says nothing, such as EXHAUSTED."""
    names = {getattr(api.solution, each) for each in MEANINGS}
    is_word = isinstance(state, str) and state != ""
    return is_word and state not in names and not _meaning_of(api, state)


def _shows_an_error(api: Api, answer: Answer) -> bool:
    task = api.unwrapped(answer.json(), api.solution.status)
    has_result = task.get(api.solution.result_field) is not None
    return bool(task.get(api.solution.error)) and not has_result


async def _end_of(api: Api, path: str) -> str:
    """The state in which a task stays; empty where there is none.

    Either its word says that it has ended, or nothing changes for
    longer than any work takes.
    """
    last = ""
    since = api.now()
    for _ in range(120):
        await api.sleep(1)
        status = _status_in(api, await api.request("GET", path))
        if not isinstance(status, str):
            return ""
        if api.done(status):
            return status
        if status != last:
            last = status
            since = api.now()
    stays = api.now() - since > 45
    return last if stays else ""


async def _no_such_route(api: Api, answer: Answer) -> None:
    """Raises UnmetError, which names the routes that there are."""
    paths = (await api.openapi()).get("paths", {})
    gets = [f"GET {path}" for path, methods in paths.items() if "get" in methods]
    raise UnmetError(
        f"200 from GET {api.solution.path}/{{task_id}} for the task just accepted",
        f"{answer}; there is {', '.join(gets)} in /openapi.json",
    )


async def _name_states(api: Api, seen: list[str]) -> None:
    """Adopt what the states are called.

    It is told by their order where there were three, else by what the
    words mean.
    """
    if len(seen) == 3 and not api.failed(seen[-1]):
        for name, state in zip(STATES, seen, strict=True):
            _adopt_state(api, name, state)
        return

    words = list(seen)
    if seen:
        for listed in listed_in(await api.openapi()):
            if set(seen) <= set(listed):
                words += listed

    for state in words:
        name = _meaning_of(api, state)
        if name and getattr(api.solution, name) not in words:
            _adopt_state(api, name, state)


def _meaning_of(api: Api, state: str) -> str:
    """Which of the states this word means.

    Empty where it is known already, or means none.
    """
    if state in {getattr(api.solution, name) for name in MEANINGS}:
        return ""
    for name, meaning in MEANINGS.items():
        if re.match(meaning, state, re.IGNORECASE):
            return name
    return ""


async def _find_cancelled(api: Api, known: list[str]) -> None:
    """Adopt another spelling of cancelled."""
    path = await _handed_in_at(api, "quick")
    if path:
        await api.request("DELETE", path)
        await _find_end(api, path, "cancelled", CANCELLATION, known)


async def _find_failed(api: Api, known: list[str]) -> None:
    """Adopt another spelling of failed, or "error"."""
    if api.solution.failing is None:
        return
    path = await _handed_in_at(api, "failing")
    if path:
        await _find_end(api, path, "failed", FAILURE, known)


async def _handed_in_at(api: Api, key: str) -> str:
    """The path of a new task; empty where it is refused."""
    answer = await _hand_in(api, key)
    try:
        return f"/tasks/{api.id_of(answer)}"
    except UnmetError:
        return ""


async def _find_end(
    api: Api, path: str, name: str, words: "re.Pattern[str]", known: list[str]
) -> None:
    """Adopt the state in which the task ends, if it means nothing else.

    Such a word is told by what it says; another, such as EXHAUSTED, by
    its being the last.
    """
    end = await _end_of(api, path)
    if end and end not in known and (words.match(end) or _is_odd(api, end)):
        _adopt_state(api, name, end)


# Where any task type is accepted


async def _doubt_the_result(api: Api) -> None:
    """Adopt that compute_sum computes no sum."""
    if not api.solution.is_default("result"):
        return
    answer = await api.post(api.solution.quick)
    seen = await _states_of(api, answer) if answer.accepted else []
    task = await api.get(api.id_of(answer)) if seen else {}
    if not holds(task.get(api.solution.result_field), api.solution.result):
        _adopt(api, result=None)


async def _doubt_the_failure(api: Api) -> None:
    """Adopt that simulate_failure does not fail."""
    if api.solution.failing is None or not api.solution.is_default("failing"):
        return
    answer = await api.post(api.solution.failing)
    seen = await _states_of(api, answer) if answer.accepted else []
    if seen and seen[-1] == api.solution.completed:
        _adopt(api, failing=None)


PREFLIGHT = Requirement(
    name="preflight",
    group="endpoints",
    text="It starts and takes a task",
    learn="README.md",
    open=False,
    source=False,
    play=look,
)
