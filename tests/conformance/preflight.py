"""Preflight: does it start, does it take a task, and what are its
routes, fields and states called?

Rule: what would fail every requirement in the same way is said once,
before any is played.
"""

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
MEANINGS = {  # what a state is called, where there were not three to be seen
    "queued": "queue|enqueue|pend|wait|new$|creat|submit|accept|schedul|receiv",
    "processing": "process|run|in_?progress|start|active|work|execut",
    "completed": "complet|done|finish|success|succeed|end",
    "failed": FAILURE.pattern,
    "cancelled": CANCELLATION.pattern,
}
REFUSED = (400, 422)
# what else these task types may be called
TYPES = {"quick": "sum", "slow": "report", "failing": "fail|err|crash"}


async def look(api: Api) -> dict[str, Any]:
    """Hand in the quick task and follow it to its end; what is not
    called as the Solution says.
    """
    given = api.solution
    answer = await _hand_in(api, "quick")
    if answer.status in (307, 308, 404, 405):
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
    seen = await _states_of(api, answer)
    for _ in range(7):
        if seen and api.failed(seen[-1]):  # by chance, perhaps
            _adopt_state(api, "failed", seen[-1])
            seen = await _states_of(api, await api.post(api.solution.quick))
    await _name_states(api, seen)
    await _choose(api, others)
    answer = await _hand_in(api, "slow")
    # if it was answered otherwise, that is another line's business
    known = answer.status not in REFUSED
    expect(
        known,
        f"the task {api.solution.slow} to be accepted (set `slow` in a TOML file)",
        str(answer),
    )
    if known and answer.accepted and len(seen) < 3:  # the quick one was too quick
        seen = await _states_of(api, answer)
        await _name_states(api, seen)
    await _find_other_ends(api, seen)
    if api.solution.is_default("invalid") and not api.solution.is_default("quick"):
        _adopt(api, invalid=invalid(api.solution.quick))
    if (await api.post(api.solution.invalid[-1])).accepted:
        await _doubt_the_defaults(api)
    found = dataclasses.asdict(api.solution)
    return {
        name: value for name, value in found.items() if value != getattr(given, name)
    }


def _adopt(api: Api, **names: Any) -> None:
    api.solution = dataclasses.replace(api.solution, **names)


def _adopt_state(api: Api, name: str, state: str) -> None:
    """Where the TOML file does not say what it is called."""
    if api.solution.is_default(name):
        _adopt(api, **{name: state})


async def _find_tasks(api: Api, refusal: Answer) -> tuple[Answer, list[Any]]:
    """Adopt a body that the OpenAPI document describes: how it was
    answered, and others that may be.
    """
    possible = bodies(await api.openapi(), api.solution.path)
    for index, body in enumerate(possible):
        answer = await api.post(body)
        if answer.accepted:
            _adopt(api, quick=body, result=None)
            if api.solution.is_default("slow"):
                _adopt(api, slow=body)
            return answer, possible[index:]
        made = f"quick = {as_toml(body)}, made from /openapi.json, was answered {answer.status}, too"
        refusal = (
            dataclasses.replace(refusal, body=refusal.body + f"; {made}".encode())
            if index == 0
            else refusal
        )
    return refusal, []


async def _choose(api: Api, possible: list[Any]) -> None:
    """Of several bodies, the quickest as the quick task, the longest as
    the slow one, and one that fails.
    """
    took: dict[str, tuple[float, Any]] = {}
    for body in possible if len(possible) > 1 else []:
        answer, begun = await api.post(body), api.now()
        if answer.accepted and (seen := await _states_of(api, answer)):
            if seen[-1] == api.solution.completed:
                took[json.dumps(body)] = (api.now() - begun, body)
            elif (
                api.failed(seen[-1])
                and api.solution.is_default("failing")
                and await _always_fails(api, body)
            ):
                _adopt(api, failing=body)
                _adopt_state(api, "failed", seen[-1])
    if took:
        ordered = [body for _, body in sorted(took.values(), key=lambda each: each[0])]
        _adopt(api, quick=ordered[0], slow=ordered[-1])


async def _always_fails(api: Api, body: Any) -> bool:
    """Whether it does so five times more: others fail by chance."""
    for _ in range(5):
        answer = await api.post(body)
        if not answer.accepted or not api.failed(
            (await _states_of(api, answer) or [""])[-1]
        ):
            return False
    return True


async def _name_states(api: Api, seen: list[str]) -> None:
    """What the states are called, by their order where there were
    three, else by what the words mean.
    """
    if len(seen) == 3 and not api.failed(seen[-1]):
        for name, state in zip(STATES, seen, strict=True):
            _adopt_state(api, name, state)
        return
    others = [
        state
        for words in listed_in(await api.openapi())
        if seen and set(seen) <= set(words)
        for state in words
    ]
    for state in [*seen, *others]:
        for name, meaning in MEANINGS.items():
            known = {getattr(api.solution, each) for each in MEANINGS}
            if state not in known and re.match(meaning, state, re.IGNORECASE):
                if getattr(api.solution, name) not in (*seen, *others):
                    _adopt_state(api, name, state)
                break


def _adopt_field(api: Api, key: str, answer: Answer, like: str) -> None:
    """Where the solution calls this field otherwise, and only one can
    be meant.
    """
    body, name = answer.json(), getattr(api.solution, key)
    objects = [body, *(body.values() if isinstance(body, dict) else [])]
    fields = {field for each in objects if isinstance(each, dict) for field in each}
    alike = [field for field in fields if re.search(like, field.lower())]
    if name not in fields and api.solution.is_default(key) and len(alike) == 1:
        _adopt(api, **{key: alike[0]})
    expect(
        getattr(api.solution, key) in fields,
        f"a field {name!r} {hint(key)}",
        str(answer),
    )


async def _find_routes(api: Api, answer: Answer) -> None:
    """Where the routes are, if the quick task was answered as at a path
    that is none of theirs.
    """
    path = api.solution.path
    if answer.status in (307, 308):
        elsewhere = [urlsplit(answer.headers.get("location", "")).path]
    else:
        paths = (await api.openapi()).get("paths", {})
        posts = [each for each, methods in paths.items() if "post" in methods]
        reads = {
            each.rpartition("/{")[0]
            for each, methods in paths.items()
            if "get" in methods and each.endswith("}")
        }
        pairs = [each for each in posts if each.rstrip("/") in reads]
        elsewhere = [
            each
            for each in posts
            if each.rstrip("/").endswith("/tasks") and each != path
        ] or pairs
        there = f"there is {', '.join(f'POST {each}' for each in posts) or 'no other'} in /openapi.json"
        expect(
            len(elsewhere) == 1,
            f"a route POST {path} {hint('path')}",
            f"it was answered {answer.status}; {there}",
        )
    _adopt(api, path=elsewhere[0])


async def _hand_in(api: Api, key: str) -> Answer:
    """Submit this task; where its default type is refused, one of the
    OpenAPI document that sounds alike.
    """
    body = getattr(api.solution, key)
    refusal = answer = await api.post(body)
    if answer.status not in REFUSED or not api.solution.is_default(key):
        return answer
    words = {word for words in listed_in(await api.openapi()) for word in words}
    for word in sorted(
        word for word in words if re.search(TYPES[key], word, re.IGNORECASE)
    ):
        other = {**body, "task_type": word}
        if (answer := await api.post(other)).accepted:
            _adopt(api, **{key: other})
            if key == "quick" and api.solution.is_default("bad_parameters"):
                bad = [
                    {**each, "task_type": word} for each in api.solution.bad_parameters
                ]
                _adopt(api, bad_parameters=bad)
            return answer
    return refusal


def _status_in(api: Api, answer: Answer) -> Any:
    try:
        task = api.unwrapped(answer.json(), api.solution.status)
    except UnmetError:  # no JSON, which is another line's business
        return None
    return task.get(api.solution.status) if isinstance(task, dict) else None


async def _states_of(api: Api, submitted: Answer) -> list[str]:
    """The states that a task goes through within two minutes of its
    submission.
    """
    task_id, seen = api.id_of(submitted), list[str]()
    begun = api.now()
    while api.now() - begun < 120:
        answer = await api.request("GET", f"/tasks/{task_id}")
        if answer.status in (404, 405):
            gets = [
                path
                for path, methods in (await api.openapi()).get("paths", {}).items()
                if "get" in methods
            ]
            there = f"{answer}; there is {', '.join(f'GET {each}' for each in gets)} in /openapi.json"
            raise UnmetError(
                f"200 from GET {api.solution.path}/{{task_id}} for the task just accepted",
                there,
            )
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
    return seen


async def _find_other_ends(api: Api, known: list[str]) -> None:
    """What cancelled and failed are called, where it is another
    spelling of these, or "error".
    """
    for name, key, words in (
        ("cancelled", "quick", CANCELLATION),
        ("failed", "failing", FAILURE),
    ):
        if getattr(api.solution, key) is None:
            continue
        answer = await _hand_in(api, key)
        try:
            path = f"/tasks/{api.id_of(answer)}"
        except UnmetError:
            continue  # refused
        if name == "cancelled":
            await api.request("DELETE", path)
        for _ in range(120):
            await api.sleep(1)
            status = _status_in(api, await api.request("GET", path))
            if isinstance(status, str) and status not in known and words.match(status):
                _adopt_state(api, name, status)
                break
            if api.done(status):
                break


async def _doubt_the_defaults(api: Api) -> None:
    """Where any task type is accepted, compute_sum may compute no sum,
    and simulate_failure may not fail.
    """
    for body, key in (
        (api.solution.quick, "result"),
        (api.solution.failing, "failing"),
    ):
        if body is None or not api.solution.is_default(key):
            continue
        answer = await api.post(body)
        seen = await _states_of(api, answer) if answer.accepted else []
        task = await api.get(api.id_of(answer)) if seen else {}
        if key == "result" and not holds(
            task.get(api.solution.result_field), api.solution.result
        ):
            _adopt(api, result=None)
        if key == "failing" and seen and seen[-1] == api.solution.completed:
            _adopt(api, failing=None)


PREFLIGHT = Requirement(
    "preflight",
    "endpoints",
    "It starts and takes a task",
    "README.md",
    False,
    False,
    look,
)
