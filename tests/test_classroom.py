"""Grading a class: what is found, counted, written and refused."""

import asyncio
import csv
import dataclasses
import io
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import (
    archive,
    card,
    environments,
    steps,
    submissions,
    table,
)
from tests.conformance.__main__ import Watch
from tests.conformance.classroom import Graded
from tests.conformance.compare import CompareError, compared
from tests.conformance.environments import allows, requirements_of
from tests.conformance.letter import letter
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX
from tests.conformance.policy import Policy, PolicyError
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import REQUIREMENTS, Verdict, load_all
from tests.conformance.solution import NUMBERS, Solution, SolutionError
from tests.conformance.submissions import (
    ClassError,
    Submission,
    SubmissionError,
    application_in,
    solution_in,
)
from tests.helpers import project_root

load_all()
pytestmark = pytest.mark.skipif(not CAN_GRADE, reason=NEEDS_POSIX)
CONFORMANCE = project_root() / "tests" / "conformance"
PASSED = Verdict("passed")
FAILED = Verdict("failed", "202", "it was answered 500")
APP = "from fastapi import FastAPI\napp = FastAPI()\n"


def graded_as(**verdicts: Verdict) -> card.Graded:
    """A whole card on which all that is not named has passed."""
    return [
        (requirement, verdicts.get(requirement.name, PASSED))
        for requirement in load_all()
    ]


def ended(lines: card.Graded, **fields: Any) -> Graded:
    submission = Submission(fields.pop("name", "anna"), Path("/class/anna"))
    solution = Solution(app_dir="/class/anna")
    return Graded(submission, solution, lines, **fields)


def row(lines: card.Graded, policy: Policy | None = None, **fields: Any) -> table.Row:
    return table.row_of(ended(lines, **fields), policy or Policy())


def written(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# Points


def test_a_card_without_failures_has_all_points() -> None:
    points = Policy().points(graded_as())
    assert points.earned == points.most == len(REQUIREMENTS)
    assert points.percent == 100
    assert not points.causes


def test_weights_are_by_line_and_by_group() -> None:
    policy = Policy(weights={"five_in_parallel": 7, "constraints": 0})
    points = policy.points(graded_as(five_in_parallel=FAILED, uses_queue=FAILED))
    free = sum(each.group == "constraints" for each in load_all())
    assert points.most == len(REQUIREMENTS) - free + 6
    assert points.most - points.earned == 7


def test_a_line_that_is_switched_off_is_neither_shown_nor_counted() -> None:
    policy = Policy(off=["five_in_parallel"])
    lines = graded_as(five_in_parallel=FAILED)
    assert policy.points(lines).percent == 100
    assert "five_in_parallel" not in {each.name for each, _ in policy.shown(lines)}


def test_one_cause_costs_once_whatever_ids_and_numbers_it_names() -> None:
    one = Verdict("failed", "202", "GET /tasks/0f8fad5b-d9cb-469f was answered 500")
    other = Verdict("failed", "202", "GET /tasks/7c9e6679-7425-40de was answered 500")
    policy = Policy(weights={"ids_differ": 3})
    points = policy.points(graded_as(ids_differ=one, list_has_all=other))

    [cause] = points.causes
    assert cause.requirement.name == "ids_differ"
    assert cause.others == ["list_has_all"]
    assert points.most - points.earned == cause.lost == 3
    # The other one is neither earned nor lost.
    assert points.most == len(REQUIREMENTS) + 2 - 1


NOT_GRADED = Verdict("not graded", "", "see that line", cause="eleventh_is_429")


@pytest.mark.parametrize(("excused", "lost"), [(0.1, 1), (1, 1), (0, 3)])
def test_what_another_line_explains_is_excused_or_lost(
    excused: float, lost: int
) -> None:
    lines = graded_as(
        eleventh_is_429=FAILED, window_slides=NOT_GRADED, limit_ends=NOT_GRADED
    )
    points = Policy(excused=excused).points(lines)
    [cause] = points.causes
    assert cause.others == ["window_slides", "limit_ends"]
    assert cause.lost == 1
    assert points.most - points.earned == lost
    assert points.most == len(REQUIREMENTS) - 3 + lost


def test_what_was_not_shown_earns_nothing_beyond_a_tenth() -> None:
    unplayed = Verdict("not graded", "", "see that line", cause="works_unasked")
    live = [each.name for each in load_all() if not each.source]
    verdicts = dict.fromkeys(live, unplayed) | {"works_unasked": FAILED}
    points = Policy().points(graded_as(**verdicts))

    every = len(REQUIREMENTS)
    assert points.earned == every - len(live)
    assert points.unshown == pytest.approx(len(live) - 1 - every / 10)
    assert points.most == pytest.approx(every - every / 10)
    told = letter(ended(graded_as(**verdicts)), Policy(), hints=True)
    assert "are for what could not be graded" in told


def test_what_no_line_explains_is_excused_in_any_case() -> None:
    busy = Verdict("not graded", "", "the machine is too busy")
    points = Policy(excused=0).points(graded_as(window_slides=busy))
    assert points.earned == points.most == len(REQUIREMENTS) - 1


def test_a_remark_costs_what_the_policy_says() -> None:
    lines = graded_as(lines_are_short=Verdict("remark", "79", "88"))
    assert Policy().points(lines).percent == 100
    points = Policy(remarks=0.5).points(lines)
    assert points.most - points.earned == 0.5


def not_started(happened: str = "ImportError: no") -> card.Graded:
    source = [line for line in graded_as() if line[0].source]
    return [(PREFLIGHT, Verdict("failed", "it to start", happened)), *source]


def test_what_cannot_be_played_earns_nothing() -> None:
    points = Policy().points(not_started())
    [cause] = points.causes
    assert points.most == len(REQUIREMENTS)
    assert points.earned == sum(each.source for each in load_all())
    assert cause.lost == points.most - points.earned


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wait = 1", "unknown key 'wait'; there are title, weight, "),
        ("weight = -1", "weight is to be a number of at least 0, not -1"),
        ("weight = nan", "weight is to be a number of at least 0, not nan"),
        ("weight = true", "weight is to be a number of at least 0, not True"),
        ("weights = 3", "weights is to be a dict, not 3"),
        ("off = ['five_in_paralel']", "is 'five_in_parallel' meant?"),
        ("off = [{}]", "off: there is no line '{}'"),
        ("[weights]\nspeed = 2", "weights: there is no line or group 'speed'"),
        ("[weights]\nids_differ = 'two'", "ids_differ is to be a number"),
        ("[numbers]\nspeed = 2", "numbers: unknown 'speed'; there are workers, "),
        ("[numbers]\nworkers = 0", "workers is to be a whole number from 2 to 12"),
        ("[numbers]\nworkers = 2.5", "from 2 to 12, not 2.5"),
        ("[numbers]\nworkers = true", "from 2 to 12, not True"),
        ("excused = 1.5", "excused is a share, from 0 to 1"),
        ("remarks = 2", "remarks is a share, from 0 to 1"),
        ("weight = ", "policy.toml: "),
    ],
)
def test_a_policy_that_makes_no_sense_is_told_so(
    tmp_path: Path, text: str, told: str
) -> None:
    file = written(tmp_path / "policy.toml", text)
    with pytest.raises(PolicyError, match=re.escape(told)):
        Policy.read(file)


def test_the_readme_explains_each_key_of_a_policy(tmp_path: Path) -> None:
    text = (CONFORMANCE / "README.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```toml\n(title.+?)```", text, re.DOTALL)
    shown = Policy.read(written(tmp_path / "policy.toml", example))
    for field in dataclasses.fields(Policy):
        assert re.search(rf"^\[?{field.name}\b", example, re.MULTILINE), field.name
    assert shown.numbers.keys() == NUMBERS.keys()


def test_a_number_of_its_own_is_told_with_each_line_that_names_it() -> None:
    solution = Solution(workers=3, rate_limit=20)
    shown = card.text(graded_as(), solution)
    assert re.search(r"^.*Five tasks .*\(here: 3 workers\)$", shown, re.MULTILINE)
    assert re.search(r"^.*Ten requests .*\(here: 20 req", shown, re.MULTILINE)
    assert "(here: " not in card.text(graded_as(), Solution())


def test_the_solution_file_takes_numbers_too(tmp_path: Path) -> None:
    file = written(tmp_path / "solution.toml", "workers = 3")
    assert Solution.read(file).workers == 3
    written(file, "workers = 300")
    with pytest.raises(SolutionError, match="workers is to be a whole number"):
        Solution.read(file)


# Steps


def test_each_step_names_lines_that_there_are_and_no_line_twice() -> None:
    named = [line for step in steps.STEPS for line in step.lines]
    assert set(named) <= set(REQUIREMENTS)
    assert len(named) == len(set(named))


def test_each_line_belongs_to_a_step() -> None:
    assert steps.step_of().keys() == REQUIREMENTS.keys()


def test_what_is_built_in_full_has_no_next_step() -> None:
    built = steps.built(graded_as())
    assert built == (len(steps.STEPS), len(steps.STEPS), "")


def test_what_comes_next_is_the_first_step_that_is_not_done() -> None:
    # On the card, DELETE stands before the five in parallel.
    lines = graded_as(cancel_queued=FAILED, five_in_parallel=FAILED)
    built = steps.built(lines)
    assert built is not None
    assert built.done == len(steps.STEPS) - 2
    assert built.next.startswith("five workers, with asyncio.gather")
    assert "it was answered 500" in built.next


def test_what_could_not_be_graded_is_not_done_until_nothing_fails() -> None:
    unsure = Verdict("not graded", "", "no task that fails")
    alone = steps.built(graded_as(failure_is_shown=unsure))
    assert alone == (len(steps.STEPS), len(steps.STEPS), "")
    beside = steps.built(graded_as(failure_is_shown=unsure, has_readme=FAILED))
    assert beside is not None
    assert beside.done == len(steps.STEPS) - 2


def test_what_does_not_start_begins_with_the_first_step() -> None:
    [told] = card.progress(not_started(), Solution())
    count = len(steps.STEPS)
    assert told.startswith(f"Steps done: 0 of {count}: next: POST /tasks takes a task")


def test_a_few_lines_that_were_chosen_are_no_progress() -> None:
    assert card.progress(graded_as()[:5], Solution()) == []


# Cards and letters


def test_a_card_without_hints_has_no_pointer_into_the_model_solution() -> None:
    lines = [(each, FAILED) for each in load_all()]
    learned = [each.learn for each in load_all() if "/" in each.learn]
    for kind in (card.text, *card.KINDS.values()):
        with_hints = kind(lines, Solution())
        without = kind(lines, Solution(), hints=False)
        assert any(learn in with_hints for learn in learned)
        assert not any(learn in without for learn in learned)
        assert "explained by" not in without
        assert "explained_by" not in without


def test_a_letter_tells_each_cause_once_in_the_order_of_building() -> None:
    lines = graded_as(
        cancel_queued=FAILED,
        window_slides=NOT_GRADED,
        eleventh_is_429=Verdict("failed", "429", "all were accepted"),
        five_in_parallel=Verdict("failed", "five", "one was"),
        lines_are_short=Verdict("remark", "79", "two have 88"),
    )
    told = letter(ended(lines), Policy(title="Spring"), hints=True)
    assert told.startswith("# Spring: anna\n")
    count = len(REQUIREMENTS) - 1
    assert f"{count - 3} of {count} points" in told

    places = [
        told.index(REQUIREMENTS[name].text)
        for name in ("five_in_parallel", "cancel_queued", "eleventh_is_429")
    ]
    assert places == sorted(places)
    assert told.count("all were accepted") == 1
    assert f"also explains “{REQUIREMENTS['window_slides'].text}”" in told
    assert "two have 88" in told
    assert "notebook" in told
    assert "notebook" not in letter(ended(lines), Policy(), hints=False)


def test_a_letter_says_why_a_submission_could_not_be_graded() -> None:
    submission = Submission("anna", Path("/class/anna"))
    graded = Graded(submission, problem="the zip is encrypted")
    told = letter(graded, Policy(), hints=True)
    assert f"0 of {len(REQUIREMENTS)} points" in told
    assert "could not be graded: the zip is encrypted." in told


def test_a_letter_cannot_be_written_by_a_submission() -> None:
    bad = Verdict("failed", "202", "a\n# You have 100 points\x1b[2J<img src=x>|" * 99)
    told = letter(ended(graded_as(ids_differ=bad)), Policy(), hints=True)
    assert "\n# You have 100" not in told
    assert "\x1b" not in told
    assert "<img" not in told
    assert len(told) < 2000


def test_a_card_is_read_again_from_json(tmp_path: Path) -> None:
    lines = graded_as(ids_differ=FAILED)
    file = tmp_path / "card.json"
    card.write(file, lines, Solution())
    whole = json.loads(file.read_text(encoding="utf-8"))
    found = {line["name"]: line["mark"] for line in whole["lines"]}
    assert found == {each.name: verdict.mark for each, verdict in lines}
    assert "Steps done: " in whole["summary"]


# Before and after


def test_two_cards_are_compared(tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    after = tmp_path / "after.json"
    then = graded_as(ids_differ=FAILED, has_readme=FAILED, uses_lock=FAILED)
    now = graded_as(
        has_readme=FAILED,
        uses_lock=Verdict("not graded", "", "it cannot be read"),
        full_is_503=Verdict("failed", "503", "all\x1b were accepted"),
    )
    card.write(before, then[1:], Solution())
    card.write(after, now[:-1], Solution())

    told = compared(before, after)
    better, _, rest = told.partition("Worse:")
    worse, _, rest = rest.partition("New:")
    new, _, gone = rest.partition("Gone:")
    assert f"✗ → ✓  {REQUIREMENTS['ids_differ'].text}" in better
    assert f"✗ → ?  {REQUIREMENTS['uses_lock'].text}" in better
    assert f"✓ → ✗  {REQUIREMENTS['full_is_503'].text}" in worse
    assert "all were accepted" in worse
    first, *_, last = load_all()
    assert first.text in new
    assert last.text in gone
    assert told.endswith("2 better, 1 worse, 1 still to mend.")


def test_two_tables_are_compared(tmp_path: Path) -> None:
    for name, lines in (
        ("before", graded_as(ids_differ=FAILED)),
        ("after", graded_as()),
    ):
        rows = [row(lines), row(lines, name=name)]
        written(tmp_path / name / "table.json", table.as_json(rows, Policy()))

    told = compared(tmp_path / "before", tmp_path / "after")
    assert re.search(r"^anna: 99\.\d % → 100\.0 % \(\+0\.\d\)$", told, re.MULTILINE)
    gone = r"^before: 99\.\d % before, and not graded again$"
    assert re.search(gone, told, re.MULTILINE)
    assert "after: new, 100.0 %" in told


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lines": [1]}', '{"lines": 3}'])
def test_what_is_no_card_cannot_be_compared(tmp_path: Path, text: str) -> None:
    file = written(tmp_path / "card.json", text)
    with pytest.raises(CompareError):
        compared(file, file)


# The table


def test_a_row_says_what_to_mend_first_or_why_there_is_no_card() -> None:
    assert row(graded_as()).reason == ""

    failed = row(
        graded_as(ids_differ=FAILED, has_readme=Verdict("failed", "one", "no"))
    )
    assert failed.reason == f"{REQUIREMENTS['ids_differ'].text} (and 1 more)"
    assert (failed.failed, failed.passed) == (2, len(REQUIREMENTS) - 2)

    assert "ImportError: no" in row(not_started()).reason
    none = Graded(Submission("ben", Path("/class/ben")), problem="it is no zip")
    assert table.row_of(none, Policy()).reason == "it is no zip"


def test_no_table_can_be_attacked_by_a_submission() -> None:
    name = "=cmd|'/c calc'!A0"
    attack = "<script>alert(1)</script>\x1b]0;\n\r|"
    rows = [row(not_started(attack), name=name)]

    shown = table.text(rows)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2

    page = table.as_page(rows, Policy())
    assert "<script>" not in page

    text = table.as_csv(rows)
    [cells] = csv.DictReader(io.StringIO(text))
    assert cells["name"] == f"'{name}"
    assert float(cells["percent"]) < 100

    [told] = json.loads(table.as_json(rows, Policy()))["submissions"]
    assert told["name"] == name


# Which submissions there are


@pytest.fixture
def school(tmp_path: Path) -> Path:
    """A folder with three submissions, one of them in a zip."""
    written(tmp_path / "class" / "anna" / "main.py", APP)
    written(tmp_path / "class" / "ben" / "src" / "main.py", APP)
    with zipfile.ZipFile(tmp_path / "class" / "Zoë M.zip", "w") as packed:
        packed.writestr("main.py", APP)
    written(tmp_path / "class" / ".DS_Store")
    (tmp_path / "class" / ".git").mkdir()
    return tmp_path / "class"


def names_of(paths: list[Path]) -> list[str]:
    return [each.name for each in submissions.submissions(paths)]


def test_a_folder_is_a_class_or_a_submission(school: Path) -> None:
    assert names_of([school]) == ["Zoë M", "anna", "ben"]
    assert names_of([school / "anna"]) == ["anna"]
    assert names_of([school / "ben"]) == ["ben"]
    assert names_of([school / "Zoë M.zip", school / "anna"]) == ["Zoë M", "anna"]


def test_what_is_named_twice_is_graded_once_and_equal_names_are_told_apart(
    school: Path, tmp_path: Path
) -> None:
    written(tmp_path / "second" / "Anna" / "main.py", APP)
    found = names_of([school, school / "anna", tmp_path / "second" / "Anna"])
    assert found == ["Zoë M", "anna", "ben", "Anna (2)"]
    slugs = {submissions.slug(name) for name in found}
    assert len(slugs) == len(found)


@pytest.mark.parametrize(
    "text",
    [
        "folder,name,app\nanna,Anna A.,main:app\nmissing,Max,\n",
        "\ufeffName;Folder\nAnna A.;anna\nMax;missing\n",
        "anna,Anna A.\nmissing,Max\n",
    ],
)
def test_a_csv_names_submissions(school: Path, text: str) -> None:
    file = written(school / "class.csv", text)
    anna, other = submissions.submissions([file])
    assert (anna.name, anna.path) == ("Anna A.", school / "anna")
    # Only when it is graded, it is told that there is none.
    assert (other.name, other.path) == ("Max", school / "missing")
    assert anna.app == ("main:app" if "app" in text.splitlines()[0] else "")


def test_a_csv_may_have_names_alone(school: Path) -> None:
    file = written(school / "class.csv", "points,Student name\n1,anna\n2,Zoë M\n")
    found = [each.path for each in submissions.submissions([file])]
    assert found == [school / "anna", school / "Zoë M.zip"]


@pytest.mark.parametrize("text", ["", "name,points\n"])
def test_a_csv_that_names_none_is_refused(tmp_path: Path, text: str) -> None:
    file = written(tmp_path / "class.csv", text)
    with pytest.raises(ClassError):
        submissions.submissions([file])


def test_what_an_earlier_run_wrote_is_no_submission(school: Path) -> None:
    written(school / "graded" / "table.json", "{}")
    written(school / "graded" / "anna" / "letter.md", "You have")
    assert names_of([school]) == ["Zoë M", "anna", "ben"]


def test_no_submission_takes_the_place_of_a_table(tmp_path: Path) -> None:
    written(tmp_path / "class" / "table.csv" / "main.py", APP)
    assert names_of([tmp_path / "class"]) == ["table.csv (2)"]


def test_what_is_neither_folder_nor_zip_nor_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassError, match="is no folder, zip or CSV file"):
        submissions.submissions([tmp_path / "missing"])


@pytest.mark.parametrize(
    ("files", "app", "folder"),
    [
        ({"main.py": APP}, "main:app", "."),
        ({"src/main.py": APP}, "main:app", "src"),
        ({"src/main.py": f"from src import x\n{APP}"}, "src.main:app", "."),
        ({"src/main.py": f"from .x import y\n{APP}"}, "src.main:app", "."),
        ({"app/__init__.py": "", "app/main.py": APP}, "app.main:app", "."),
        ({"main.py": "from x import app"}, "main:app", "."),
        ({"main.py": "import x\napp: object = x.make()"}, "main:app", "."),
        ({"tasks.py": APP.replace("app =", "service =")}, "tasks:service", "."),
        (
            {"main.py": "from fastapi import FastAPI\ndef make() -> FastAPI: ..."},
            "main:make",
            ".",
        ),
        ({"main.py": "x = 1", "deep/down/server.py": APP}, "server:app", "deep/down"),
        ({"tests/main.py": APP, "service.py": APP}, "service:app", "."),
        ({"main.py": "app = FastAPI("}, "main:app", "."),
    ],
)
def test_the_application_is_found(
    tmp_path: Path, files: dict[str, str], app: str, folder: str
) -> None:
    for name, text in files.items():
        written(tmp_path / name, text)
    found, place = application_in(tmp_path)
    assert found == app
    assert place == (tmp_path / folder).resolve()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("README.md", "there is no Python file in it"),
        ("sums.py", "no FastAPI application was found in it"),
    ],
)
def test_where_there_is_no_application_that_is_told(
    tmp_path: Path, name: str, told: str
) -> None:
    written(tmp_path / name, "x = 1")
    with pytest.raises(SubmissionError, match=told):
        application_in(tmp_path)


def test_a_submission_may_name_its_application_but_none_elsewhere(
    tmp_path: Path,
) -> None:
    written(tmp_path / "main.py", APP)
    file = written(tmp_path / "solution.toml", 'app = "other:api"\nstatus = "state"')
    solution = solution_in(tmp_path)
    assert (solution.app, solution.status) == ("other:api", "state")
    assert solution_in(tmp_path, "main:app").app == "main:app"

    written(file, 'status = "state"')
    assert solution_in(tmp_path).app == "main:app"
    written(file, 'app_dir = ".."')
    with pytest.raises(SubmissionError, match="leads out of the submission"):
        solution_in(tmp_path)
    written(file, "quik = 1")
    with pytest.raises(SubmissionError, match=r"^solution\.toml: unknown key 'quik'"):
        solution_in(tmp_path)


def test_a_submission_does_not_mark_itself(tmp_path: Path) -> None:
    written(tmp_path / "main.py", APP)
    own = "result = 7\ninvalid = [{ a = 1 }]\nbad_parameters = [{}]\nfailing = {}\n"
    file = written(tmp_path / "solution.toml", own + 'status = "state"')
    solution = solution_in(tmp_path)
    for key in ("result", "invalid", "bad_parameters", "failing"):
        assert solution.is_default(key)
    assert solution.status == "state"

    # Other numbers are no other type.
    quick = 'quick = { task_type = "compute_sum", parameters = { numbers = [1] } }'
    written(file, own + quick)
    solution = solution_in(tmp_path)
    for key in ("invalid", "bad_parameters", "failing"):
        assert solution.is_default(key)
    assert solution.result is None

    # Of its own types, only it knows what makes no sense, or fails.
    written(file, own + 'quick = { task_type = "mine" }')
    solution = solution_in(tmp_path)
    assert solution.is_default("invalid")
    assert (solution.result, solution.bad_parameters) == (None, [{}])
    assert solution.failing == {}


# Zips and folders


def packed(path: Path, *members: tuple[Any, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    [
        "../out.py",
        "a/../../out.py",
        "/out.py",
        "..\\out.py",
        "C:\\out.py",
        "C:out.py",
    ],
)
def test_a_zip_writes_nothing_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    file = packed(tmp_path / "a.zip", ("main.py", APP), (name, "x"))
    with pytest.raises(archive.ArchiveError, match="leads out of it"):
        archive.unpack(file, tmp_path / "new" / "inside")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["inside"]


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    file = packed(tmp_path / "a.zip", (link("main.py"), "/etc/passwd"))
    with pytest.raises(archive.ArchiveError, match="has a link"):
        archive.unpack(file, tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_a_member_does_not_write_over_another(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = packed(tmp_path / "a.zip", ("main.py", "1"), ("main.py", "2"))
    with pytest.raises(archive.ArchiveError, match="File exists"):
        archive.unpack(file, tmp_path / "new")


def test_a_zip_is_bounded_by_what_comes_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1024**2)
    file = packed(tmp_path / "a.zip", ("a", b"0" * 700_000), ("b", b"0" * 700_000))
    assert file.stat().st_size < 10_000
    with pytest.raises(archive.ArchiveError, match="more than 1 MB together"):
        archive.unpack(file, tmp_path / "new")

    monkeypatch.setattr(archive, "MOST_FILES", 3)
    file = packed(tmp_path / "b.zip", *((f"{number}.py", "") for number in range(4)))
    with pytest.raises(archive.ArchiveError, match="more than 3 files"):
        archive.unpack(file, tmp_path / "newer")


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    file = packed(tmp_path / "a.zip", ("a.py", b"x" * 1000))
    content = bytearray(file.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    # What the directory says: the size of the file, unpacked.
    content[place + 24 : place + 28] = (10).to_bytes(4, "little")
    file.write_bytes(content)
    with pytest.raises(archive.ArchiveError):
        archive.unpack(file, tmp_path / "new")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04broken"])
def test_what_is_no_zip_is_told_so(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(content)
    with pytest.raises(archive.ArchiveError, match="the zip cannot be read"):
        archive.unpack(file, tmp_path / "new")


def test_a_zip_of_one_folder_is_what_is_in_that_folder(tmp_path: Path) -> None:
    file = packed(
        tmp_path / "a.zip",
        ("task-manager/main.py", APP),
        ("task-manager/venv/lib.py", "x"),
        ("__MACOSX/._main.py", "x"),
    )
    archive.unpack(file, tmp_path / "new")
    inside = archive.innermost(tmp_path / "new")
    assert inside == tmp_path / "new" / "task-manager"
    assert [path.name for path in archive.files_in(inside)] == ["main.py"]

    archive.unpack(packed(tmp_path / "b.zip", ("app/main.py", APP)), tmp_path / "b")
    assert archive.innermost(tmp_path / "b") == tmp_path / "b"


def test_a_folder_is_copied_without_links_and_what_is_installed(tmp_path: Path) -> None:
    source = tmp_path / "anna"
    written(source / "main.py", APP)
    written(source / "env" / "pyvenv.cfg")
    written(source / "env" / "lib.py", "x")
    written(source / ".git" / "config", "x")
    written(tmp_path / "secret" / "marks.csv", "x")
    (source / "marks.csv").symlink_to(tmp_path / "secret" / "marks.csv")
    (source / "others").symlink_to(tmp_path / "secret")
    os.mkfifo(source / "pipe")

    archive.copy(source, tmp_path / "copy")
    found = [path.name for path in (tmp_path / "copy").rglob("*")]
    assert found == ["main.py"]


def test_a_digest_changes_with_each_name_and_content(tmp_path: Path) -> None:
    file = written(tmp_path / "a" / "main.py", "xy")
    digests = {archive.digest(tmp_path / "a")}
    written(file, "xz")
    digests.add(archive.digest(tmp_path / "a"))
    file.rename(tmp_path / "a" / "mainx.py")
    digests.add(archive.digest(tmp_path / "a"))
    written(tmp_path / "a" / "empty.py")
    digests.add(archive.digest(tmp_path / "a"))
    assert len(digests) == 4


# Environments


@pytest.mark.parametrize(
    ("wanted", "allowed", "refused"),
    [
        ("", "3.10 3.13", ""),
        (">=3.11", "3.11 3.12", "3.10"),
        (">=3.11,<3.13", "3.11 3.12", "3.10 3.13"),
        ("==3.12", "3.12", "3.11 3.13"),
        ("==3.12.*", "3.12", "3.11 3.13"),
        ("~=3.11", "3.11 3.13", "3.10"),
        (">3.10", "3.11", "3.10"),
        ("<=3.11.4", "3.10 3.11", "3.12"),
        ("<4", "3.10 3.14", ""),
        ("!=3.11", "3.10", "3.11"),
        ("!=3.11.2", "3.11", ""),
    ],
)
def test_versions_of_python_are_compared(
    wanted: str, allowed: str, refused: str
) -> None:
    for version in allowed.split():
        assert allows(wanted, version), version
    for version in refused.split():
        assert not allows(wanted, version), version


def test_requirements_are_those_of_the_submission_without_itself(
    tmp_path: Path,
) -> None:
    assert requirements_of(tmp_path) == ""
    written(tmp_path / "pyproject.toml", '[project]\ndependencies = ["fastapi>=0.100"]')
    assert requirements_of(tmp_path) == "fastapi>=0.100"

    written(tmp_path / "requirements.txt", "fastapi # web\n\n-e .\n.\n-r more.txt\n")
    written(
        tmp_path / "more.txt", "uvicorn[standard]\n-r requirements.txt\n-r /etc/x\n"
    )
    assert requirements_of(tmp_path).splitlines() == ["fastapi", "uvicorn[standard]"]


@pytest.mark.slow
def test_environments_are_made_once_for_equal_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that nothing comes from elsewhere: pip itself is there.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(environments, "OWN", written(tmp_path / "own.txt", "pip\n"))
    anna = written(tmp_path / "anna" / "requirements.txt", "pip  # for anna\n").parent
    ben = written(tmp_path / "ben" / "requirements.txt", "\npip\n").parent
    max_ = written(tmp_path / "max" / "requirements.txt", "no-such-package\n").parent
    made = environments.Environments(tmp_path / "made", current_only=False)

    pythons: list[str] = []

    async def scenario() -> None:
        first, second = await asyncio.gather(*map(made.python_for, (anna, ben)))
        assert first == second != sys.executable
        pythons.append(first)
        with pytest.raises(SubmissionError, match=r"cannot be installed: .*no-such"):
            await made.python_for(max_)

    asyncio.run(scenario())
    [python] = pythons
    subprocess.run([python, "-c", "import pip"], check=True, timeout=60)
    assert len(list((tmp_path / "made").iterdir())) == 1


def test_nothing_is_made_where_it_is_not_needed(tmp_path: Path) -> None:
    anna = written(tmp_path / "anna" / "requirements.txt", "no-such-package\n").parent
    current = environments.Environments(tmp_path / "made", current_only=True)
    assert asyncio.run(current.python_for(anna)) == sys.executable

    (anna / "requirements.txt").unlink()
    own = environments.Environments(tmp_path / "made", current_only=False)
    assert asyncio.run(own.python_for(anna)) == sys.executable
    assert not (tmp_path / "made").exists()

    written(anna / ".python-version", "3.6.15\n")
    with pytest.raises(SubmissionError, match=r"it asks for Python ==3\.6"):
        asyncio.run(own.python_for(anna))


def test_code_of_others_is_given_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.example")
    assert "secret" not in environments.environ(installs=True).values()
    assert "PIP_INDEX_URL" in environments.environ(installs=True)
    assert "PIP_INDEX_URL" not in environments.environ()


# Progress


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    watch = Watch(2)
    watch.played(Submission("anna\x1b", Path("/class/anna")), 7)
    under_way = f"[0/2] anna 7 of {len(REQUIREMENTS)}"
    assert (under_way in capsys.readouterr().err) == is_terminal

    watch.ended(row(graded_as(), name="anna\x1b"))
    told = capsys.readouterr().err
    assert f"[1/2] anna: {len(REQUIREMENTS)} of {len(REQUIREMENTS)} points" in told
    assert ("\x1b" in told) == is_terminal


# The command


def command(
    *arguments: str | Path, timeout: float = 150
) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "tests.conformance", *map(str, arguments)]
    return subprocess.run(
        words, cwd=project_root(), capture_output=True, text=True, timeout=timeout
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no submission is named"),
        (["no-such-folder"], "no-such-folder is no folder, zip or CSV file"),
        (["--policy", "no-such.toml", "."], "No such file"),
        (["--jobs", "0", "."], "argument --jobs: invalid"),
        (["--fail-under", "101", "."], "argument --fail-under: invalid"),
        (["--compare", "a.json", "b.json"], "a.json cannot be read"),
    ],
)
def test_a_command_that_makes_no_sense_is_told_so(
    arguments: list[str], told: str
) -> None:
    ended = command(*arguments)
    assert ended.returncode == 2
    assert told in ended.stderr


STUB = """
from fastapi import FastAPI, HTTPException
app = FastAPI()
@app.post("/tasks")
async def submit():
    BODY
"""


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a class of seven, each of which is odd."""
    folder = tmp_path_factory.mktemp("graded")
    school = folder / "class"
    stub = STUB.strip()
    written(school / "refuses" / "main.py", stub.replace("BODY", "raise KeyError(1)"))
    hangs = "import threading; threading.Event().wait()"
    written(school / "hangs" / "main.py", stub.replace("BODY", hangs))
    written(school / "dies" / "main.py", stub.replace("BODY", "import os; os._exit(3)"))
    written(school / "broken" / "main.py", "from fastapi import FastAPI\napp = (")
    written(school / "nothing" / "essay.txt", "I could not do it.")
    packed(school / "escape.zip", ("../../main.py", APP))
    written(school / "writes" / "main.py", f"open('log.txt', 'w').write('x')\n{APP}")
    return folder


@pytest.fixture(scope="module")
def first_run(graded: Path) -> "subprocess.CompletedProcess[str]":
    return command(
        graded / "class",
        "--out",
        graded / "out",
        "--current-environment",
        "--fail-under",
        "50",
    )


def rows_in(folder: Path) -> dict[str, Any]:
    whole = json.loads((folder / "out" / "table.json").read_text(encoding="utf-8"))
    return {row["name"]: row for row in whole["submissions"]}


@pytest.mark.slow
def test_each_submission_has_a_row_with_its_reason(
    graded: Path, first_run: "subprocess.CompletedProcess[str]"
) -> None:
    assert first_run.returncode == 1
    assert "below 50 %: " in first_run.stderr
    assert "Traceback" not in first_run.stderr
    rows = rows_in(graded)
    reasons = {
        "broken": "SyntaxError",
        "dies": "ended with exit code 3",
        "escape": "leads out of it",
        "hangs": "It is at main.py:5: ",
        "nothing": "there is no Python file in it",
        "refuses": "POST /tasks raised KeyError: 1",
        "writes": "there is no other in /openapi.json",
    }
    assert rows.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in rows[name]["reason"], name
        assert name in first_run.stdout
        assert f"] {name}: " in first_run.stderr
        told = (graded / "out" / name / "letter.md").read_text(encoding="utf-8")
        assert reason in told, name

    # What it was graded from is gone, and was never its own folder.
    assert not (graded / "class" / "writes" / "log.txt").exists()
    assert "/submission-" not in (graded / "out" / "table.json").read_text()
    whole = json.loads((graded / "out" / "broken" / "card.json").read_text("utf-8"))
    assert whole["folder"] == str(graded / "class" / "broken")
    page = (graded / "out" / "broken" / "card.html").read_text(encoding="utf-8")
    assert "<h1>Score card of <code>main:app</code> in broken</h1>" in page


@pytest.mark.slow
def test_what_has_not_changed_is_not_graded_again(
    graded: Path, first_run: "subprocess.CompletedProcess[str]"
) -> None:
    policy = written(graded / "policy.toml", "off = ['no_database']\n")
    written(graded / "class" / "broken" / "main.py", "from nowhere import app")
    again = command(
        graded / "class",
        "--out",
        graded / "out",
        "--current-environment",
        "--no-hints",
        "--policy",
        policy,
    )
    assert again.returncode == 0
    rows = rows_in(graded)
    unchanged = {name for name, row in rows.items() if row["unchanged"]}
    assert unchanged == {"dies", "hangs", "refuses", "writes"}
    assert "No module named 'nowhere'" in rows["broken"]["reason"]
    # The policy holds for what was kept as well.
    assert rows["refuses"]["of"] == len(REQUIREMENTS) - 1
    shown = (graded / "out" / "refuses" / "card.md").read_text(encoding="utf-8")
    assert "explained by" not in shown


@pytest.mark.slow
def test_what_takes_too_long_is_ended_and_told(tmp_path: Path) -> None:
    written(tmp_path / "slow" / "main.py", "import time\nwhile True: time.sleep(60)\n")
    written(tmp_path / "slow" / "solution.toml", 'app = "main:app"')
    ended = command(
        tmp_path / "slow",
        "--out",
        tmp_path / "out",
        "--current-environment",
        "--timeout",
        "1",
        timeout=60,
    )
    assert "it was not graded within 1 s" in ended.stderr
    [row] = rows_in(tmp_path).values()
    assert row["points"] == 0


@pytest.mark.slow
def test_the_starter_is_told_what_to_build_first(tmp_path: Path) -> None:
    ended = command(
        CONFORMANCE / "starter", "--out", tmp_path / "out", "--current-environment"
    )
    told = "Steps done: 0 of 18: next: POST /tasks takes a task: 202"
    assert told in ended.stdout
    assert "POST /tasks is not implemented yet" in ended.stdout
    assert told in (CONFORMANCE / "EXERCISE.md").read_text(encoding="utf-8")


# Three workers, and twenty requests a minute.
OTHER_NUMBERS = """
from taskmanager.api import create_app
from taskmanager.settings import Settings
app = create_app(Settings(workers=3, rate_limit=20, queue_size=80))
"""


@pytest.mark.slow
def test_the_lines_play_with_the_numbers_of_the_policy(tmp_path: Path) -> None:
    submission = tmp_path / "other"
    written(submission / "main.py", OTHER_NUMBERS)
    archive.copy(project_root() / "taskmanager", submission / "taskmanager")
    numbers = "[numbers]\nworkers = 3\nrate_limit = 20\nqueue_size = 80\n"
    policy = written(tmp_path / "policy.toml", numbers)
    ended = command(
        submission,
        "--out",
        tmp_path / "out",
        "--current-environment",
        "--policy",
        policy,
    )
    assert re.search(r"✓ Five tasks .*\(here: 3 workers\)", ended.stdout)
    file = tmp_path / "out" / "other" / "card.json"
    lines = json.loads(file.read_text(encoding="utf-8"))["lines"]
    failed = [line["name"] for line in lines if line["mark"] == "failed"]
    assert failed == ["has_readme"], ended.stdout


# The recipe for GitHub


@pytest.mark.slow
def test_the_recipe_for_github_plays(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    recipe = (CONFORMANCE / "classroom.yml").read_text(encoding="utf-8")
    steps_of_it = yaml.safe_load(recipe)["jobs"]["grade"]["steps"]
    checkouts = [step for step in steps_of_it if "checkout" in step.get("uses", "")]
    for step in checkouts:
        assert step["with"]["persist-credentials"] is False
        (tmp_path / step["with"]["path"]).parent.mkdir(exist_ok=True)

    archive.copy(CONFORMANCE / "starter", tmp_path / "submission")
    for folder in ("tests", "taskmanager"):
        archive.copy(project_root() / folder, tmp_path / "grading" / folder)
    python = written(
        tmp_path / "bin" / "python",
        '#!/bin/sh\n[ "$2" = pip ] && exit 0\nexec "$PYTHON" "$@"\n',
    )
    python.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }

    codes = {}
    for step in steps_of_it:
        if "run" in step:
            ended = subprocess.run(
                ["bash", "-e", "-c", step["run"]],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                timeout=120,
            )
            codes[step["name"]] = ended.returncode
    # The starter has less than 60 %.
    assert codes == {"Install": 0, "Grade": 1, "Show the letter": 0}
    assert "Steps done: 0 of" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    [path] = [
        step["with"]["path"] for step in steps_of_it if "upload" in step.get("uses", "")
    ]
    assert (tmp_path / path / "card.html").exists()
