"""Solution: which application is graded, and what its author chose.

Rule: every default is what the exercise's own examples say;
``--solution file.toml`` changes what differs where the exercise leaves
it open.
"""

import dataclasses
import re
import traceback
from pathlib import Path
from typing import Any

from tests.conformance.toml import TOMLDecodeError, loads

ROOT = Path(__file__).parent.parent.parent
KINDS: dict[type, str] = {
    str: "text",
    dict: "table",
    list: "list",
    int: "whole number",
}
# Fields with a number of the exercise, which a class may have changed:
# within which bounds the requirements can play.
NUMBERS = {
    "workers": (2, 12),
    "queue_size": (80, 400),
    "rate_limit": (5, 100),
    "wait_timeout": (5, 30),
    "retention": (300, 3600),
}
# Fields that hold no name of a field or state.
NO_NAMES = (
    "app",
    "app_dir",
    "high",
    "low",
    "tasks_key",
    "path",
    "no_slow",
)


# Fields that the preflight alone sets.
FOUND = {"no_slow"}
# Of each group, no two are called the same: what asks for one would be
# answered with the other.
APART = (
    ("queued", "processing", "completed", "failed", "cancelled"),
    ("task_id", "status", "result_field", "error", "progress", "priority"),
    ("high", "low"),
)


class SolutionError(ValueError):
    """The TOML file cannot be used; the message names the key."""


def number_problem(name: str, number: Any) -> str:
    """What is wrong with a number of the exercise; empty if nothing."""
    least, most = NUMBERS[name]
    if type(number) is int and least <= number <= most:
        return ""
    return f"{name} is to be a whole number from {least} to {most}, not {number!r}"


def _task(task_type: str, **parameters: Any) -> dict[str, Any]:
    return {"task_type": task_type, "parameters": parameters}


@dataclasses.dataclass(frozen=True)
class Solution:
    """All that a requirement may know of a solution.

    Each field can be set in the TOML file.
    """

    # module:attribute
    app: str = "main:app"
    app_dir: str = "."

    # The body of the shortest task.
    quick: dict[str, Any] = dataclasses.field(
        default_factory=lambda: _task("compute_sum", numbers=[1, 2, 3])
    )
    # What the quick task's result is, or contains; None: anything.
    result: Any = 6
    # The body of a task that takes longer.
    slow: dict[str, Any] = dataclasses.field(
        default_factory=lambda: _task("generate_report", title="Tides")
    )
    # Where none was found, as the preflight says: how it was refused.
    no_slow: str = ""
    # The body of a task that fails by itself; none: not graded.
    failing: dict[str, Any] | None = dataclasses.field(
        default_factory=lambda: _task("simulate_failure")
    )
    # Bodies that must be refused.
    invalid: list[Any] = dataclasses.field(
        default_factory=lambda: [{}, [], _task("no_such_type")]
    )
    # Bodies of a known type, with parameters that make no sense.
    bad_parameters: list[Any] = dataclasses.field(
        default_factory=lambda: [
            _task("compute_sum"),
            _task("compute_sum", numbers="three"),
            _task("compute_sum", numbers=["three"]),
        ]
    )

    # Where its routes are.
    path: str = "/tasks"

    # Names of fields.
    task_id: str = "task_id"
    status: str = "status"
    result_field: str = "result"
    error: str = "error"
    progress: str = "progress"
    priority: str = "priority"

    # Values of the priority.
    high: Any = "high"
    low: Any = "low"

    # Names of the states.
    queued: str = "queued"
    processing: str = "processing"
    completed: str = "completed"
    failed: str = "failed"
    cancelled: str = "cancelled"

    # Where GET /tasks answers an object, the key under which the list
    # is.
    tasks_key: str = ""

    # What the exercise counts: tasks in process, tasks that are queued,
    # and requests a minute; and in seconds, the longest wait, and how
    # long a finished task is kept.
    workers: int = 5
    queue_size: int = 100
    rate_limit: int = 10
    wait_timeout: int = 10
    retention: int = 600

    @classmethod
    def read(cls, path: Path | None, **given: str) -> "Solution":
        """From a TOML file, where there is one, and the command line.

        The command line wins. Raises SolutionError.
        """
        chosen = {} if path is None else cls._chosen_in(path)
        solution = cls(**(chosen | given))

        module, _, name = solution.app.partition(":")
        if not module or not name:
            raise SolutionError(
                "the application is to be named as MODULE:NAME, such as main:app, "
                f"not {solution.app!r}"
            )
        if "/" in module or module.endswith(".py"):
            stem = Path(module).stem
            raise SolutionError(
                f"a module is named, not its file: {stem}:{name}, "
                "and its folder with --app-dir"
            )
        return solution

    @classmethod
    def _chosen_in(cls, path: Path) -> dict[str, Any]:
        """What a TOML file sets. Raises SolutionError."""
        try:
            chosen = loads(path.read_text(encoding="utf-8"))
        except (OSError, TOMLDecodeError) as error:
            raise SolutionError(f"{path}: {error}") from None

        known = {field.name for field in dataclasses.fields(cls)} - FOUND
        unknown = sorted(set(chosen) - known)
        if unknown:
            raise SolutionError(
                f"{path}: unknown key {unknown[0]!r}; "
                f"there are {', '.join(sorted(known))}"
            )

        default = cls()
        for key, value in chosen.items():
            kind = type(getattr(default, key))
            if key not in ("result", "high", "low") and not isinstance(value, kind):
                raise SolutionError(
                    f"{path}: {key} is to be a {KINDS[kind]}, not {value!r}"
                )

        for key in ("invalid", "bad_parameters"):
            if chosen.get(key) == []:
                raise SolutionError(f"{path}: {key} is to name at least one body")

        for name in sorted(NUMBERS.keys() & chosen):
            problem = number_problem(name, chosen[name])
            if problem:
                raise SolutionError(f"{path}: {problem}")

        for names in APART:
            called = [chosen.get(name, getattr(default, name)) for name in names]
            twice = [each for each in called if called.count(each) > 1]
            if twice:
                raise SolutionError(
                    f"{path}: {' and '.join(names)} are to be called apart, "
                    f"not two of them {twice[0]!r}"
                )

        if not chosen.get("path", "/").startswith("/"):
            raise SolutionError(
                f"{path}: path is to begin with a slash, not {chosen['path']!r}"
            )

        # Another quick task has another result.
        if "quick" in chosen:
            chosen.setdefault("result", None)
        folder = path.parent / chosen.get("app_dir", ".")
        chosen["app_dir"] = str(folder.resolve())
        return chosen

    def other_names(self) -> dict[str, str]:
        """What is not called as the default says.

        Such as {"queued": "pending"}.
        """
        found = {}
        for field in dataclasses.fields(self):
            if isinstance(field.default, str) and field.name not in NO_NAMES:
                name = getattr(self, field.name)
                if name != field.default:
                    found[field.name.removesuffix("_field")] = name
        return found

    def is_default(self, key: str) -> bool:
        """Whether neither TOML file nor preflight says otherwise."""
        return bool(getattr(self, key) == getattr(Solution(), key))

    def without_own_answers(self) -> "Solution":
        """What a submission may say of itself when others grade it.

        Which bodies are to be refused, and what a sum is, is not among
        it. Of its own task types only it knows what makes no sense, and
        what fails; of the exercise's, that is found by trial.
        """
        default = Solution()
        asked_for = dataclasses.replace(
            self,
            invalid=default.invalid,
            result=default.result if self.is_default("quick") else None,
        )
        if self.quick.get("task_type") != default.quick["task_type"]:
            return asked_for
        return dataclasses.replace(
            asked_for,
            bad_parameters=default.bad_parameters,
            failing=default.failing,
        )

    @property
    def folder(self) -> Path:
        return Path(self.app_dir).resolve()

    def owns(self, file: str) -> bool:
        """Whether this is a file of the solution.

        What is installed is not, nor is the grading.
        """
        path = Path(file)
        grading = Path(__file__).parent
        return (
            path.is_relative_to(self.folder)
            and "site-packages" not in path.parts
            and path.parent not in (grading, grading.parent)
        )

    def summary_of(self, failure: BaseException | str) -> str:
        """The error at the end of a traceback, and where it came from.

        That is the solution's last line that led to it.
        """
        if isinstance(failure, str):
            text = failure
        else:
            text = "".join(traceback.format_exception(failure))

        # The error stands below the last of the frames.
        frame = r'^ *File ".*\n(?: .*\n?)*'
        below = re.split(frame, text.rstrip(), flags=re.MULTILINE)[-1]
        error = below.strip() or text[-300:]

        place = ""
        for file, line in re.findall(r'File "(.+?)", line (\d+)', text):
            if self.owns(file):
                place = f" ({Path(file).name}, line {line})"
        return f"{error:.300}{place}"
