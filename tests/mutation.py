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
    "content-type",
    "date",
]
# In small letters, or in capitals.
ANY_HEADER = "|".join(HEADERS + [header.upper() for header in HEADERS])


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
        place=r"schemas\.problems",
        fault=r"XXmodelXX|MODEL|sorted\(None|430|501|504|of_every_route = None",
        why="runs on import, before a fault is switched on",
    ),
    Reason(
        place="_submission_of",
        fault=r"None|^,?$|^\)$",
        why="runs on import, before a fault is switched on",
    ),
    Reason(
        place="_json_of",
        fault=r"XX\\nXX",
        why="what has a line break within is no type of JSON",
    ),
    Reason(
        place="",
        fault=rf"[\"'](?:{ANY_HEADER})[\"']",
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
        fault=r'"XXXX"(?!\.)',
        why="a default that is never used, or says as little",
    ),
    Reason(
        place="_below_root_path",
        fault=r"root_path\", (?:None)?\)",
        why="a default that is never used",
    ),
    Reason(
        place="",
        fault=(
            r"(?:daemon|started|told|_ended|stopping) = None|\"lost\", None"
            r"|(?:last|strict|redirect_slashes|allow_nan)=None"
        ),
        why="None is as false as False",
    ),
    Reason(
        place="_limited|answer",
        fault=r"scope, None, [\w.]+\)",
        why="a problem document needs nothing of the request's body",
    ),
    Reason(
        place="__call__|answer",
        fault=r"answer\(None",
        why="the answer to our own fault depends on nothing",
    ),
    Reason(
        place="_odd_primes",
        fault=(
            r"XX.x01XX|limit \+ 2|range\(math|3, 2\)|\+ 1, \)|range\(4"
            r"|- 1, 2|\+ 2, 2|, 3\)"
        ),
        why="strikes out by more numbers than it needs",
    ),
    Reason(
        place="count_segment",
        fault=r"isqrt\(end \+ 1\)",
        why="strikes out by more numbers than it needs",
    ),
    Reason(
        place="_first_odd_multiple",
        fault="square >= low",
        why="no square of a prime begins a segment",
    ),
    Reason(
        place="TaskStore.__init__",
        fault="next_number = 1",
        why="numbers that begin with 1 do as well",
    ),
    Reason(
        place="_read_pages",
        fault=r"_pages\), 1\)|range\(end|PAGE \+ 2",
        why="looks at pages that are not there",
    ),
    Reason(
        place="_time_out|_exchange|wait|encode|board_events",
        fault=(
            r"end < now|>= sent_at|pause > deadline|left >= RESERVE"
            r"|monotonic\(\) >= end|told > SILENCE"
        ),
        why="the same but for one instant, or one request",
    ),
    Reason(
        place="sweep_clients",
        fault=r"sleep\((?:None|1)\)",
        why="others run between two batches all the same",
    ),
    Reason(
        place="__aexit__",
        fault=r"interrupted, (?:timeout=None)?\)",
        why="a stop's bounds are played on a real server, by tests/test_server.py",
    ),
    Reason(
        place="TaskClient.__init__|_send",
        fault="_answers",
        why="only whether it has changed counts",
    ),
    Reason(
        place="_jitter",
        fault="attempt, 11",
        why="the longest backoff comes first",
    ),
    Reason(
        place="_task_record",
        fault="81",
        why="one character more of what nobody can read",
    ),
    Reason(
        place=r"TaskClient\.wait",
        fault="streamed = (?:None|True)",
        why="a stream that has ended goes on saying so",
    ),
    Reason(
        place=r"TaskClient\._events",
        fault=r"deadline \+ current_time",
        why="whoever reads the stream stops at the deadline",
    ),
    Reason(
        place=r"TaskClient\._note_limits",
        fault=r"seconds = 1\.0",
        why="without a limit nobody waits for its reset",
    ),
    Reason(
        place="_retry_after",
        fault=r'"Date", (?:None)?\)',
        why="None is as little a date as the empty text",
    ),
    Reason(
        place=r"PlainRoute\._plain_app",
        fault=r"Request\(scope, receive, (?:None)?\)",
        why="what an endpoint returns is what is sent",
    ),
    Reason(
        place=r"PlainRoute\._plain_app",
        fault="include_context=True",
        why="the context of a fault is not shown",
    ),
    Reason(
        place=r"problems\._errors",
        fault=r"count >= MOST_FAULTS|range\(4\)",
        why="others get a little more time than they need",
    ),
    Reason(
        place=r"PlainRoute\._plain_app",
        fault='"(?:XXParametersXX|parameters|PARAMETERS)"',
        why="nobody reads the name of this model",
    ),
    Reason(
        place="_json_of",
        fault=r'_fault\(detail, (?:None|"XXbodyXX"|"BODY")?\)',
        why="a pointer into the body begins after this step",
    ),
    Reason(
        place=r"routing\._fault",
        fault='"(?:XXtypeXX|TYPE)"',
        why="the type of these faults is none that counts",
    ),
    Reason(
        place=r"TasksMiddleware\.__call__",
        fault='sees_first = ""',
        why="the empty text is as false as None",
    ),
    Reason(
        place=r"EventStream\.__call__",
        fault=r"\[ENDS_ITSELF\] = (?:None|False)",
        why="only whether it is there counts",
    ),
    Reason(
        place="_hypercorn_stops",
        fault='= None|"__name__", None',
        why="an empty list is as false as None, and no name is None",
    ),
    Reason(
        place=r"_KeptAlive\.stop",
        fault=r"at_end\(None\)",
        why="at the stop, nobody asks how a loop has ended",
    ),
    Reason(
        place=r"Feed\._news",
        fault="_waiting -= 1",
        why="the multiples of PORTION are the same below nothing",
    ),
    Reason(
        place=r"openapi\.document",
        fault='encoding=(?:None|"UTF-8")',
        why="what is read is ASCII, and the names of encodings have no case",
    ),
    Reason(
        place=r"openapi\._mend",
        fault=r'"content", (?:None)?\)',
        why="what has no content has no example of it",
    ),
    Reason(
        place="create_app",
        fault='"XX/XX"',
        why="each document that is sent names its own server",
    ),
    Reason(
        place="_below_root_path",
        fault='"(?:XX%0AXX|%0a)"',
        why="no route has any of these in its path",
    ),
    Reason(
        place="of_board",
        fault='None|XX|"BOARDS?"',
        why="what the boards are called is known to this class alone",
    ),
    Reason(
        place=r"EventStream\.__init__",
        fault=r"\(None, headers",
        why="what it sends is not read from there",
    ),
    Reason(
        place=r"Feed\.",
        fault=r'\[reader\] = ""|sending = ""|event = ""',
        why="the empty text is as false as None, and as little an event",
    ),
    Reason(
        place=r"Feed\._tell",
        fault=r"telling = None|create_task\(None\)",
        why="the test of that is not played here: see pyproject.toml",
    ),
    Reason(
        place=r"listing\.slices|problems\._errors",
        fault=r"sleep\(1\)",
        why="others run all the same; that nothing waits is for the benchmarks",
    ),
    Reason(
        place=r"ProcessExecutor\.shutdown",
        fault=r"shutdown\(None\)",
        why="by then its processes have ended, and its threads do at once",
    ),
    Reason(
        place="_literal",
        fault=r"ensure_ascii|value, \)|200|201",
        why="how a refused value is shown to the caller",
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
