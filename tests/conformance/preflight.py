"""Preflight: does it start, does it take a task, and what are its states called?

Rule: what would fail every requirement in the same way is said once, before any is played.
"""

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
    if unnamed and len(texts) == 3:
        return {name: status for name, status in zip(names, texts, strict=True) if status != name}
    return {}


PREFLIGHT = Requirement("preflight", "endpoints", "It starts and takes a task", "README.md", False, False, look)
