"""Solution: which application is graded, and what its author chose
where the exercise leaves it open.

Rule: every default is what the exercise's own examples say;
``--solution file.toml`` changes what differs.
"""

import dataclasses
import re
import traceback
from pathlib import Path
from typing import Any

try:
    import tomllib
except ImportError:  # Python 3.10, where pytest brings it
    import tomli as tomllib


ROOT = Path(__file__).parent.parent.parent
NAMES = {str: "text", dict: "table", list: "list"}


class SolutionError(ValueError):
    """The TOML file cannot be used; the message names the key."""


def _sum(*numbers: int) -> dict[str, Any]:
    return {"task_type": "compute_sum", "parameters": {"numbers": list(numbers)}}


@dataclasses.dataclass(frozen=True)
class Solution:
    """All that a requirement may know of a solution; each field can be
    set in the TOML file.
    """

    app: str = "main:app"  # module:attribute
    app_dir: str = "."
    # the body of the shortest task
    quick: dict[str, Any] = dataclasses.field(default_factory=lambda: _sum(1, 2, 3))
    result: Any = 6  # what the quick task's result is, or contains; None: anything
    slow: dict[str, Any] = dataclasses.field(  # the body of a task that takes longer
        default_factory=lambda: {
            "task_type": "generate_report",
            "parameters": {"title": "Tides"},
        }
    )
    # the body of a task that fails by itself; none: not graded
    failing: dict[str, Any] | None = dataclasses.field(
        default_factory=lambda: {"task_type": "simulate_failure", "parameters": {}}
    )
    invalid: list[Any] = dataclasses.field(  # bodies that must be refused
        default_factory=lambda: [
            {},
            [],
            {"task_type": "no_such_type", "parameters": {}},
        ]
    )
    # bodies of a known type, with parameters that make no sense
    bad_parameters: list[Any] = dataclasses.field(
        default_factory=lambda: [
            {"task_type": "compute_sum", "parameters": {}},
            {"task_type": "compute_sum", "parameters": {"numbers": "three"}},
            {"task_type": "compute_sum", "parameters": {"numbers": ["three"]}},
        ]
    )
    path: str = "/tasks"  # where its routes are
    task_id: str = "task_id"  # names of fields
    status: str = "status"
    result_field: str = "result"
    error: str = "error"
    progress: str = "progress"
    priority: str = "priority"
    high: Any = "high"  # values of the priority
    low: Any = "low"
    queued: str = "queued"  # names of the states
    processing: str = "processing"
    completed: str = "completed"
    failed: str = "failed"
    cancelled: str = "cancelled"
    # where GET /tasks answers an object, the key under which the list
    # is
    tasks_key: str = ""

    @classmethod
    def read(cls, path: Path | None, **given: str) -> "Solution":
        """From a TOML file, where there is one, and the command line,
        which wins. Raises SolutionError.
        """
        try:
            chosen = (
                {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
            )
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SolutionError(f"{path}: {error}") from None
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(chosen) - known):
            raise SolutionError(
                f"{path}: unknown key {unknown[0]!r}; there are {', '.join(sorted(known))}"
            )
        default = cls()
        for key, value in chosen.items():
            kind = type(getattr(default, key))
            if key not in ("result", "high", "low") and not isinstance(value, kind):
                raise SolutionError(
                    f"{path}: {key} is to be a {NAMES[kind]}, not {value!r}"
                )
        if not str(chosen.get("path", "/")).startswith("/"):
            raise SolutionError(
                f"{path}: path is to begin with a slash, not {chosen['path']!r}"
            )
        if "quick" in chosen:  # whose result is another one
            chosen.setdefault("result", None)
        if path is not None:
            chosen["app_dir"] = str(
                (path.parent / chosen.get("app_dir", ".")).resolve()
            )
        solution = cls(**(chosen | given))
        module, _, name = solution.app.partition(":")
        if not module or not name:
            raise SolutionError(
                f"the application is to be named as MODULE:NAME, such as main:app, not {solution.app!r}"
            )
        if "/" in module or module.endswith(".py"):
            stem = Path(module).stem
            raise SolutionError(
                f"a module is named, not its file: {stem}:{name}, and its folder with --app-dir"
            )
        return solution

    def other_names(self) -> dict[str, str]:
        """What is not called as the default says: such as {"queued":
        "pending"}.
        """
        fixed = ("app", "app_dir", "high", "low", "tasks_key", "path")
        names = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if isinstance(field.default, str)
            and field.name not in fixed
            and getattr(self, field.name) != field.default
        }
        return {name.removesuffix("_field"): value for name, value in names.items()}

    def is_default(self, key: str) -> bool:
        """Whether neither the TOML file nor the preflight says
        otherwise.
        """
        return bool(getattr(self, key) == getattr(Solution(), key))

    @property
    def folder(self) -> Path:
        return Path(self.app_dir).resolve()

    def owns(self, file: str) -> bool:
        """Whether this is a file of the solution: not of what is
        installed, nor of the grading.
        """
        path = Path(file)
        ours = path.parent in (Path(__file__).parent, Path(__file__).parent.parent)
        return (
            path.is_relative_to(self.folder)
            and "site-packages" not in path.parts
            and not ours
        )

    def summary_of(self, failure: BaseException | str) -> str:
        """The error at the end of a traceback, and the solution's line
        that led to it.
        """
        text = (
            failure
            if isinstance(failure, str)
            else "".join(traceback.format_exception(failure))
        )
        error = re.split(
            r'^ *File ".*\n(?: .*\n?)*', text.rstrip(), flags=re.MULTILINE
        )[-1].strip()
        places = re.findall(r'File "(.+?)", line (\d+)', text)
        own = [
            f" ({Path(file).name}, line {line})"
            for file, line in places
            if self.owns(file)
        ]
        return f"{error or text[-300:]:.300}{own[-1] if own else ''}"
