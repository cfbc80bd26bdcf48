"""The grading tells a fault once, and praises nobody for nothing."""

from pathlib import Path

import pytest

from tests.conformance.causes import settled
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX, grade
from tests.conformance.requirement import REQUIREMENTS, Verdict, load_all
from tests.conformance.solution import Solution

LIVE = [each for each in load_all() if not each.source]
LIST = "list_has_all"
FILTER = "list_by_status"
ENDS = "list_by_final_status"


def told(**verdicts: Verdict) -> dict[str, Verdict]:
    """What becomes of these verdicts on one solution."""
    jobs = [(Solution(), REQUIREMENTS[name]) for name in verdicts]
    names = list(verdicts)
    found = settled(jobs, enumerate(verdicts.values()))
    return {names[index]: verdict for index, verdict in found}


def failed(*needs: str) -> Verdict:
    return Verdict("failed", "a list", "none came", needs=list(needs))


# Which line explains which


def test_a_line_is_explained_by_one_that_it_needs() -> None:
    # It is declared that the one needs the other.
    assert FILTER in REQUIREMENTS[ENDS].needs
    verdicts = told(**{ENDS: failed(), FILTER: failed()})
    assert verdicts[FILTER] == failed()

    explained = verdicts[ENDS]
    assert explained.mark == "not graded"
    assert explained.expected == ""
    assert explained.cause == FILTER
    assert f"see the line “{REQUIREMENTS[FILTER].text}”" in explained.happened


def test_a_line_may_say_what_it_needed_as_it_failed() -> None:
    verdicts = told(**{FILTER: failed(LIST), LIST: failed()})
    assert verdicts[FILTER].cause == LIST

    remark = told(**{FILTER: failed(LIST), LIST: Verdict("remark", "a", "b")})
    assert remark[FILTER].cause == LIST


def test_the_line_at_the_root_is_named() -> None:
    verdicts = told(**{ENDS: failed(), FILTER: failed(LIST), LIST: failed()})
    assert verdicts[ENDS].cause == LIST
    assert verdicts[FILTER].cause == LIST
    assert verdicts[LIST].mark == "failed"


def test_a_line_stays_failed_where_what_it_needs_is_met() -> None:
    assert told(**{ENDS: failed(), FILTER: Verdict("passed")})[ENDS] == failed()
    # Nor can what was not played explain anything.
    assert told(**{ENDS: failed()})[ENDS] == failed()


def test_lines_that_need_each_other_do_not_excuse_each_other() -> None:
    verdicts = told(**{FILTER: failed(LIST), LIST: failed(FILTER)})
    marks = sorted(verdict.mark for verdict in verdicts.values())
    assert marks == ["failed", "not graded"]


def test_what_could_not_be_played_points_to_the_line_that_says_why() -> None:
    unplayed = Verdict("not graded", "", "there is none", cause=LIST)
    verdicts = told(**{FILTER: unplayed, LIST: failed()})
    line = REQUIREMENTS[LIST].text
    assert verdicts[FILTER].happened == f"there is none: see the line “{line}”"

    # A line that is met explains nothing.
    verdicts = told(**{FILTER: unplayed, LIST: Verdict("passed")})
    assert verdicts[FILTER].happened == "there is none"
    assert verdicts[FILTER].cause == ""


def test_one_solution_explains_nothing_of_another() -> None:
    jobs = [
        (Solution(app="a:app"), REQUIREMENTS[ENDS]),
        (Solution(app="b:app"), REQUIREMENTS[FILTER]),
    ]
    verdicts = dict(settled(jobs, enumerate([failed(), failed()])))
    assert [verdicts[0].mark, verdicts[1].mark] == ["failed", "failed"]


def test_a_verdict_is_told_as_soon_as_nothing_can_explain_it_any_more() -> None:
    names = (ENDS, "submit_answers_202", LIST, FILTER)
    jobs = [(Solution(), REQUIREMENTS[name]) for name in names]
    played = [
        (0, failed()),
        (1, failed()),
        (2, Verdict("passed")),
        (3, failed(LIST)),
    ]
    assert [index for index, _ in settled(jobs, played)] == [1, 2, 0, 3]


def test_whatever_a_line_needs_exists() -> None:
    for requirement in load_all():
        for need in requirement.needs:
            assert need in REQUIREMENTS, requirement.name
            assert need != requirement.name


# Applications that do next to nothing

HOLLOW = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    ANSWER
"""
ANSWER = """
    headers = [(b"content-type", b"application/json")]
    start = {"type": "http.response.start", "status": STATUS, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": b'BODY'})
"""


def hollow(status: int, body: str) -> str:
    answer = ANSWER.replace("STATUS", str(status)).replace("BODY", body)
    return HOLLOW.replace("    ANSWER\n", answer.lstrip("\n"))


@pytest.mark.slow
@pytest.mark.skipif(not CAN_GRADE, reason=NEEDS_POSIX)
@pytest.mark.parametrize(
    "source",
    [
        HOLLOW.replace("ANSWER", "pass"),
        hollow(404, ""),
        hollow(404, '{"detail": "Not Found"}'),
        hollow(200, ""),
        hollow(200, "{}"),
        hollow(200, "[]"),
    ],
    ids=[
        "nothing",
        "404",
        "404 and JSON",
        "200",
        "200 and an object",
        "200 and a list",
    ],
)
def test_what_does_nothing_meets_no_requirement(tmp_path: Path, source: str) -> None:
    (tmp_path / "solution.py").write_text(source, encoding="utf-8")
    solution = Solution(app="solution:app", app_dir=str(tmp_path))
    verdicts = dict(grade([(solution, requirement) for requirement in LIVE]))
    passed = [
        requirement.name
        for index, requirement in enumerate(LIVE)
        if verdicts[index].mark == "passed"
    ]
    assert passed == []

    # Most of it has one cause.
    failed_lines = [each for each in verdicts.values() if each.mark == "failed"]
    assert len(failed_lines) <= 8
