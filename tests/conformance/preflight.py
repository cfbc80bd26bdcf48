"""Preflight: does it start, does it take a task, and what are its states called?

Rule: what would fail every requirement in the same way is said once, before any is played.
"""

import re

from tests.conformance.api import Api, expect
from tests.conformance.requirement import Requirement
from tests.conformance.solution import Solution


async def look(api: Api) -> dict[str, str]:
    """Hand in the quick task and follow it to its end; what its states are called, if not as expected."""
    solution = api.solution
    answer = await api.post(solution.quick)
    advice = "name your tasks in a TOML file, see tests/conformance/README.md"
    expect(answer.status < 300, f"the task {solution.quick} to be accepted ({advice})", str(answer))
    task_id, seen = api.id_of(answer), [answer.json().get(solution.status)]
    for _ in range(1200):
        task = await api.request("GET", f"/tasks/{task_id}")
        if task.status != 200 or not isinstance(task.json(), dict):
            break
        if (status := task.json().get(solution.status)) not in seen:
            seen.append(status)
        await api.sleep(0.1)
    names = ["queued", "processing", "completed"]
    default = Solution()
    unnamed = all(getattr(solution, name) == getattr(default, name) for name in names)
    texts = [status for status in seen if isinstance(status, str)]
    found = dict(zip(names, texts, strict=True)) if unnamed and len(texts) == 3 else {}
    if (solution.failed, solution.cancelled) == (default.failed, default.cancelled):
        found |= await _other_ends(api, {*texts})
    return {name: status for name, status in found.items() if status != getattr(solution, name)}


async def _other_ends(api: Api, known: set[str]) -> dict[str, str]:
    """What cancelled and failed are called, where it is another spelling of these, or "error"."""
    found = {}
    for name, body, words in (
        ("cancelled", api.solution.quick, "cancel"),
        ("failed", api.solution.failing, "fail|err"),
    ):
        answer = await api.post(body)
        if not answer.accepted or not isinstance(answer.json(), dict) or not answer.json().get(api.solution.task_id):
            continue
        path = f"/tasks/{api.id_of(answer)}"
        if name == "cancelled":
            await api.request("DELETE", path)
        for _ in range(120):
            await api.sleep(1)
            task = (await api.request("GET", path)).json()
            status = task.get(api.solution.status) if isinstance(task, dict) else None
            if isinstance(status, str) and status not in known and re.match(words, status.lower()):
                found[name] = status
                break
    return found


PREFLIGHT = Requirement("preflight", "endpoints", "It starts and takes a task", "README.md", False, False, look)
