"""Preflight: does it start, does it take a task, and what are its routes, fields and states called?

Rule: what would fail every requirement in the same way is said once, before any is played.
"""

import dataclasses
import re
from typing import Any

from tests.conformance.api import CANCELLATION, FAILURE, Answer, Api, UnmetError, expect, hint
from tests.conformance.requirement import Requirement
from tests.conformance.solution import Solution

ADVICE = "name your tasks in a TOML file, see tests/conformance/README.md"
STATES = ["queued", "processing", "completed"]


async def look(api: Api) -> dict[str, str]:
    """Hand in the quick task and follow it to its end; what is not called as the Solution says."""
    given = api.solution
    answer = await _find_routes(api)
    expect(answer.status < 300, f"the task {given.quick} to be accepted ({ADVICE})", str(answer))
    _adopt_field(api, "task_id", answer, "id$")
    seen = await _states_of(api, answer)
    for _ in range(7):
        if seen and api.failed(seen[-1]):  # by chance, perhaps
            _adopt_state(api, "failed", seen[-1])
            seen = await _states_of(api, await api.post(given.quick))
    slow = await api.post(given.slow)
    known = slow.status not in (400, 422)  # another refusal is another line's business
    expect(known, f"the task {given.slow} to be accepted (set `slow` in a TOML file)", str(slow))
    if len(seen) == 3 and not api.failed(seen[-1]):
        for name, state in zip(STATES, seen, strict=True):
            _adopt_state(api, name, state)
    await _find_other_ends(api, seen)
    found = dataclasses.asdict(api.solution)
    return {name: value for name, value in found.items() if value != getattr(given, name)}


def _adopt(api: Api, **names: str) -> None:
    api.solution = dataclasses.replace(api.solution, **names)


def _adopt_state(api: Api, name: str, state: str) -> None:
    """Where the TOML file does not say what it is called."""
    if getattr(api.solution, name) == getattr(Solution(), name):
        _adopt(api, **{name: state})


def _adopt_field(api: Api, key: str, answer: Answer, like: str) -> None:
    """Where the solution calls this field otherwise, and only one can be meant."""
    body, name = answer.json(), getattr(api.solution, key)
    objects = [body, *(body.values() if isinstance(body, dict) else [])]
    fields = {field for each in objects if isinstance(each, dict) for field in each}
    alike = [field for field in fields if re.search(like, field.lower())]
    if name not in fields and name == getattr(Solution(), key) and len(alike) == 1:
        _adopt(api, **{key: alike[0]})
    expect(getattr(api.solution, key) in fields, f"a field {name!r} {hint(key)}", str(answer))


async def _find_routes(api: Api) -> Answer:
    """Submit the quick task, wherever the route for that is; the answer."""
    answer = await api.post(api.solution.quick)
    path, elsewhere = api.solution.path, []
    if answer.status in (307, 308):
        elsewhere = [answer.headers.get("location", "").removeprefix("http://testserver")]
    elif answer.status in (404, 405):
        document = await api.request("GET", "/openapi.json")
        paths = document.json().get("paths", {}) if document.status == 200 else {}
        posts = [path for path, methods in paths.items() if "post" in methods]
        elsewhere = [path for path in posts if path.rstrip("/").endswith("/tasks") and path != api.solution.path]
        there = f"there is {', '.join(f'POST {path}' for path in posts) or 'no other'} in /openapi.json"
        expect(len(elsewhere) == 1, f"a route POST {path} {hint('path')}", f"it was answered {answer.status}; {there}")
    if len(elsewhere) == 1:
        _adopt(api, path=elsewhere[0])
        answer = await api.post(api.solution.quick)
    return answer


async def _states_of(api: Api, submitted: Answer) -> list[str]:
    """The states that a task goes through within two minutes of its submission."""
    task_id, seen = api.id_of(submitted), list[str]()
    for _ in range(1200):
        answer = await api.request("GET", f"/tasks/{task_id}")
        if answer.status != 200 or not isinstance(answer.json(), dict):
            break
        _adopt_field(api, "status", answer, "^(task_?)?(status|state)$")
        status: Any = None
        for told in (submitted, answer):
            body = api.unwrapped(told.json(), api.solution.status)
            status = body.get(api.solution.status) if isinstance(body, dict) else None
            if isinstance(status, str) and status not in seen:
                seen.append(status)
        if api.done(status):
            break
        await api.sleep(0.1)
    return seen


async def _find_other_ends(api: Api, known: list[str]) -> None:
    """What cancelled and failed are called, where it is another spelling of these, or "error"."""
    ends = (("cancelled", api.solution.quick, CANCELLATION), ("failed", api.solution.failing, FAILURE))
    for name, body, words in ends:
        if body is None:
            continue
        answer = await api.post(body)
        try:
            path = f"/tasks/{api.id_of(answer)}"
        except UnmetError:
            continue  # refused
        if name == "cancelled":
            await api.request("DELETE", path)
        for _ in range(120):
            await api.sleep(1)
            task = api.unwrapped((await api.request("GET", path)).json(), api.solution.status)
            status = task.get(api.solution.status) if isinstance(task, dict) else None
            if isinstance(status, str) and status not in known and words.match(status):
                _adopt_state(api, name, status)
                break
            if api.done(status):
                break


PREFLIGHT = Requirement("preflight", "endpoints", "It starts and takes a task", "README.md", False, False, look)
