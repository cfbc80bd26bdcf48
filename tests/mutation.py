"""Mutation testing: do the tests notice small faults in the engine?
``python -m tests.mutation`` plays thousands.

mutmut (pip install mutmut==3.8.1; its settings are in pyproject.toml)
makes the faults, one at a time, in a copy under ``mutants/``, and goes
on where it was interrupted. What survives is written to MUTATION.md,
each with the reason.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MUTMUT = [sys.executable, "-m", "mutmut"]
HEADERS = "accept|retry-after|ratelimit|ratelimit-policy|location|allow|cache-control|idempotency-key"

# Why no test is to fail: where the fault is, what it makes of the line,
# and the reason. The first that fits counts.
REASONS: list[tuple[str, str, str]] = [
    (
        "_setting|model_parametrized_name|responses",
        "",
        "runs on import, before a fault is switched on",
    ),
    (
        "get_task",
        "= True,",
        "FastAPI reads the default on import, before a fault is switched on",
    ),
    ("", rf"(?i)[\"'](?:{HEADERS})[\"']", "the names of headers have no case"),
    ("", r'"(?:get|post|delete)"', "whoever takes a method writes it in capitals"),
    ("", 'safe="XX', "X is never quoted"),
    (
        "",
        r"XXXX|'root_path', (?:None)?\)|\"path\", (?:None)?\)|\"methods\", (?:None)?\)",
        "a default that is never used",
    ),
    ("create_app", r"methods=None|, \w+, (?:responses|include)", "GET is the default"),
    ("create_app|stats|hit|_request", "=None|, None", "None is as false as False"),
    ("get_task", "or True", "spares a look, and nothing else"),
    (
        r"TaskManager\.wait",
        r"version_info|ensure_future|asyncio\.wait\(|= None",
        "Python 3.10's branch: `.ci/run` plays it there",
    ),
    (
        "_odd_primes|count_segment",
        "",
        "strikes out by more numbers than it needs, or at the same place",
    ),
    ("position|_put", "", "a short cut, for speed"),
    (r"TaskManager\.__init__", "_background", "set anew before it is used"),
    (
        "__aexit__",
        "",
        "the bounds of a stop are played on a real server, by tests/test_server.py",
    ),
    (
        "pages|TaskStore.__init__",
        "",
        "looks at pages that are not there, or counts from 1",
    ),
    ("TaskClient.__init__|_send", "_answers", "only whether it has changed counts"),
    ("_share", "11", "the longest share comes first"),
    ("_send", "INF", "the same number"),
    ("_send", "SETTLED", "the same but for one instant"),
    ("_record", "expected_at", "in the past as well"),
    ("_record", "81", "one character more of what nobody can read"),
    ("_record|list", "", "the same for whatever a server answers"),
    (
        "_time_out",
        "",
        "the same but for one instant, or looks more often than it needs",
    ),
    ("wait", "<=|>=", "the same but for one instant"),
    ("sweep", "", "the same for every batch above 1"),
    ("__call__", "", "the answer to our own fault depends on nothing"),
]


def main() -> None:
    """Play what has not been played yet, and write MUTATION.md."""
    if subprocess.run([*MUTMUT, "run"]).returncode:
        sys.exit("mutmut did not come to its end")
    subprocess.run([*MUTMUT, "export-cicd-stats"], check=True, capture_output=True)
    stats = json.loads(
        Path("mutants/mutmut-cicd-stats.json").read_text(encoding="utf-8")
    )
    survivors = [
        _shown(name) for name in re.findall(r"(\S+): survived", _said_by("results"))
    ]
    killed = stats["killed"] + stats["timeout"]
    lines = [
        "# Faults that no test notices",
        "",
        f"`python -m tests.mutation` made {stats['total']:,} faults in the engine, one at a time. The tests noticed",
        f"{killed:,} of them ({killed / stats['total']:.1%}), {stats['timeout']} of these by not coming to an end.",
        f"The other {len(survivors)}:",
        "",
        "| where | the line as it should be, and as it was | why no test fails |",
        "|---|---|---|",
        *(
            f"| `{where}` | {_code(before)}<br>{_code(after)} | {_reason(where, after)} |"
            for where, before, after in survivors
        ),
    ]
    (HERE / "MUTATION.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    gaps = [where for where, _, after in survivors if _reason(where, after) == "a gap"]
    print(
        f"tests/MUTATION.md: {killed} of {stats['total']} noticed; without a reason: {', '.join(gaps) or 'none'}"
    )


def _said_by(*command: str) -> str:
    return subprocess.run(
        [*MUTMUT, *command], check=True, capture_output=True, text=True
    ).stdout


def _shown(name: str) -> tuple[str, str, str]:
    """Where a fault is, the line, and what became of it."""
    lines = [
        line
        for line in _said_by("show", name).splitlines()
        if not line.startswith(("---", "+++"))
    ]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign))
        for sign in "-+"
    )
    where = re.sub(
        r"^taskmanager\.|\.x_(?=.)|__mutmut_\d+$",
        lambda found: "." if "x_" in found[0] else "",
        name,
    )
    return where.replace(".xǁ", ".").replace("ǁ", "."), before, after


def _code(text: str) -> str:
    return "`` " + text.replace("|", "\\|") + " ``"


def _reason(where: str, after: str) -> str:
    fitting = (
        why
        for place, fault, why in REASONS
        if re.search(place, where) and re.search(fault, after)
    )
    return next(fitting, "a gap")


if __name__ == "__main__":
    main()
