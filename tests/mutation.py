"""Mutation testing: do the tests notice small faults in the engine?

``python -m tests.mutation`` plays thousands. It is mutmut that makes
them (pip install mutmut==3.8.1; its settings are in pyproject.toml),
one at a time, in a copy under ``mutants/``; it goes on where it was
interrupted. What survives is written to MUTATION.md, each with the
reason.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
GAP = "a gap"
MUTMUT = [sys.executable, "-m", "mutmut"]
# The headers whose names stand in the engine.
HEADERS = [
    "accept",
    "retry-after",
    "ratelimit",
    "ratelimit-policy",
    "location",
    "allow",
    "cache-control",
    "idempotency-key",
]
ANY_HEADER = "|".join(HEADERS)


class Reason(NamedTuple):
    """Why no test is to fail for some faults.

    They are those whose place fits the pattern ``place`` and whose line
    fits ``fault``.
    """

    place: str
    fault: str
    why: str


# The first that fits counts.
REASONS = [
    Reason(
        place="_setting|model_parametrized_name|responses",
        fault="",
        why="runs on import, before a fault is switched on",
    ),
    Reason(
        place="get_task",
        fault="= True,",
        why="FastAPI reads the default on import, before a fault is switched on",
    ),
    Reason(
        place="",
        fault=rf"(?i)[\"'](?:{ANY_HEADER})[\"']",
        why="the names of headers have no case",
    ),
    Reason(
        place="",
        fault='"(?:get|post|delete)"',
        why="whoever takes a method writes it in capitals",
    ),
    Reason(
        place="",
        fault='safe="XX',
        why="X is never quoted",
    ),
    Reason(
        place="",
        fault=(
            "XXXX"
            r"|'root_path', (?:None)?\)"
            r'|"path", (?:None)?\)'
            r'|"methods", (?:None)?\)'
        ),
        why="a default that is never used",
    ),
    Reason(
        place="create_app",
        fault=r"methods=None|, \w+, (?:responses|include)",
        why="GET is the default",
    ),
    Reason(
        place="create_app|stats|hit|_request",
        fault="=None|, None",
        why="None is as false as False",
    ),
    Reason(
        place="get_task",
        fault="or True",
        why="spares a look, and nothing else",
    ),
    Reason(
        place=r"TaskManager\.wait",
        fault=r"version_info|ensure_future|asyncio\.wait\(|= None",
        why="Python 3.10's branch: `.ci/run` plays it there",
    ),
    Reason(
        place="_odd_primes|count_segment",
        fault="",
        why="strikes out by more numbers than it needs, or at the same place",
    ),
    Reason(
        place="position|_put",
        fault="",
        why="a short cut, for speed",
    ),
    Reason(
        place=r"TaskManager\.__init__",
        fault="_background",
        why="set anew before it is used",
    ),
    Reason(
        place="__aexit__",
        fault="",
        why="the bounds of a stop are played on a real server, by tests/test_server.py",
    ),
    Reason(
        place="pages|TaskStore.__init__",
        fault="",
        why="looks at pages that are not there, or counts from 1",
    ),
    Reason(
        place="TaskClient.__init__|_send",
        fault="_answers",
        why="only whether it has changed counts",
    ),
    Reason(
        place="_share",
        fault="11",
        why="the longest share comes first",
    ),
    Reason(
        place="_send",
        fault="INF",
        why="the same number",
    ),
    Reason(
        place="_send",
        fault="SETTLED",
        why="the same but for one instant",
    ),
    Reason(
        place="_record",
        fault="expected_at",
        why="in the past as well",
    ),
    Reason(
        place="_record",
        fault="81",
        why="one character more of what nobody can read",
    ),
    Reason(
        place="_record|list",
        fault="",
        why="the same for whatever a server answers",
    ),
    Reason(
        place="_time_out",
        fault="",
        why="the same but for one instant, or looks more often than it needs",
    ),
    Reason(
        place="wait",
        fault="<=|>=",
        why="the same but for one instant",
    ),
    Reason(
        place="sweep",
        fault="",
        why="the same for every batch above 1",
    ),
    Reason(
        place="__call__",
        fault="",
        why="the answer to our own fault depends on nothing",
    ),
]


class Survivor(NamedTuple):
    """A fault that no test noticed: where, the line, and as it was."""

    where: str
    right: str
    wrong: str

    @property
    def reason(self) -> str:
        for reason in REASONS:
            fits = re.search(reason.place, self.where)
            if fits and re.search(reason.fault, self.wrong):
                return reason.why
        return GAP


def main() -> None:
    """Play what has not been played yet, and write MUTATION.md."""
    if subprocess.run([*MUTMUT, "run"]).returncode:
        sys.exit("mutmut did not come to its end")
    subprocess.run([*MUTMUT, "export-cicd-stats"], check=True, capture_output=True)
    text = Path("mutants/mutmut-cicd-stats.json").read_text(encoding="utf-8")
    stats = json.loads(text)
    names = re.findall(r"(\S+): survived", _said_by("results"))
    survivors = [_shown(name) for name in names]

    total = stats["total"]
    endless = stats["timeout"]
    killed = stats["killed"] + endless
    lines = [
        "# Faults that no test notices",
        "",
        f"`python -m tests.mutation` made {total:,} faults in the engine, "
        "one at a time. The tests noticed",
        f"{killed:,} of them ({killed / total:.1%}), {endless} of these "
        "by not coming to an end.",
        f"The other {len(survivors)}:",
        "",
        "| where | the line as it should be, and as it was | why no test fails |",
        "|---|---|---|",
        *map(_row, survivors),
    ]
    (HERE / "MUTATION.md").write_text("\n".join(lines) + "\n", encoding="utf-8")

    gaps = [survivor.where for survivor in survivors if survivor.reason == GAP]
    without = ", ".join(gaps) or "none"
    print(
        f"tests/MUTATION.md: {killed} of {total} noticed; without a reason: {without}"
    )


def _row(survivor: Survivor) -> str:
    lines = f"{_code(survivor.right)}<br>{_code(survivor.wrong)}"
    return f"| `{survivor.where}` | {lines} | {survivor.reason} |"


def _said_by(*command: str) -> str:
    return subprocess.run(
        [*MUTMUT, *command], check=True, capture_output=True, text=True
    ).stdout


def _shown(name: str) -> Survivor:
    """The fault with this name, as mutmut shows it."""
    right = []
    wrong = []
    for line in _said_by("show", name).splitlines():
        if line.startswith(("---", "+++")):
            continue
        if line.startswith("-"):
            right.append(line[1:].strip())
        elif line.startswith("+"):
            wrong.append(line[1:].strip())

    # A taskmanager.store.xǁTaskStoreǁadd__mutmut_3 is in
    # store.TaskStore.add.
    where = re.sub(r"^taskmanager\.|__mutmut_\d+$", "", name)
    where = re.sub(r"\.x_(?=.)|\.xǁ|ǁ", ".", where)
    return Survivor(where, " ".join(right), " ".join(wrong))


def _code(text: str) -> str:
    return "`` " + text.replace("|", "\\|") + " ``"


if __name__ == "__main__":
    main()
